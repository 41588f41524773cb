//! What a Supervisor begins with: what engines before it left is taken up, the rest is started.

use std::collections::BTreeSet;

use super::{
    clock,
    driver::Driver,
    engine::EngineError,
    handover::Left,
    inheritance, journal,
    recall::{self, Recalled},
    upgrade::text_number,
};
use crate::{
    guardian::Inheritance,
    model::{ComponentId, Origin},
    process,
    wire::EventKind,
};

/// Goes on where engines before this one ended, and starts the rest.
pub(super) async fn take_up(
    driver: &mut Driver,
    known: (&journal::State, &Recalled),
    inheritance: Inheritance,
    passed: Option<Left>,
) -> Result<(), EngineError> {
    if let Some(left) = &passed {
        driver.count_on(left);
        driver.tell_upgrade(left);
    } else {
        tell_start(driver);
    }
    // The same text, read by another program: whatever that makes of it is no change.
    let same = |left: &Left| left.registry == text_number(&driver.place.registry_file);
    let outdated = !passed.as_ref().is_some_and(same);
    let (death, stopping) = (inheritance.death, inheritance.stopping);
    driver.hear_ends();
    let taken = inheritance::take_over(driver, known, inheritance, outdated).await;
    taken.map_err(EngineError::Leftovers)?;
    recall::done(&driver.supervisor.registry().config.temp);
    if let Some(death) = death {
        driver.tell_death(death);
    }
    if stopping {
        driver.shut_down(false, false, &Origin::default());
    } else if driver.upgrades == 0 {
        boot(driver, known.0);
    }
    // What was said before there was a loop.
    driver.hear_guardian();
    if let Some(link) = driver.guarding.alive() {
        link.serving();
    }
    driver.want_guardian();
    Ok(())
}

fn boot(driver: &mut Driver, remembered: &journal::State) {
    let stopped_by_hand: BTreeSet<ComponentId> = remembered
        .components
        .iter()
        .filter(|(_, one)| one.stopped_by_hand)
        .map(|(id, _)| id.clone())
        .collect();
    let mut effects = Vec::new();
    let operation = driver.supervisor.boot(clock::now(), &stopped_by_hand, &mut effects);
    driver.boot = Some(operation);
    driver.settle(effects);
}

fn tell_start(driver: &Driver) {
    let text = format!(
        "s7supervisor {} starts as pid {} with {} components",
        process::version(),
        std::process::id(),
        driver.supervisor.registry().components.len()
    );
    driver.tell(None, EventKind::Supervisor, text, None);
}
