//! Registries by chance: good ones, as the validation lets through.

use std::time::Duration;

use fastrand::Rng;

use crate::{
    model::{ComponentId, Shared},
    registry::{Component, Leftovers, Registry, RestartWhen},
    supervisor::tests::world::{probe, registry},
};

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// A registry of some of the names. Dependencies go to earlier names of no later priority, so
/// that there are no cycles.
pub fn some(rng: &mut Rng) -> Registry {
    let mut new = registry("");
    let size = rng.usize(1..=NAMES.len());
    new.config.starts_per_minute = (rng.u8(..3) == 0).then(|| rng.u32(1..20));
    new.config.leftovers = if rng.u8(..5) == 0 { Leftovers::Stop } else { Leftovers::Adopt };
    for name in &NAMES[..size] {
        let component = component(name, &new.components, rng);
        new.components.push(component.into());
    }
    rng.shuffle(&mut new.components);
    new
}

fn component(name: &str, earlier: &[Shared<Component>], rng: &mut Rng) -> Component {
    let id = ComponentId::new(name).expect("a good id");
    let mut component = Component::new(id, "/bin/true");
    component.start_priority = rng.i32(1..4);
    for other in earlier {
        if other.start_priority <= component.start_priority && rng.u8(..10) < 3 {
            component.depends_on.push(other.id.clone());
        }
    }
    component.enabled = rng.u8(..10) < 8;
    component.start_delay = Duration::from_millis(rng.u64(..3) * 700);
    component.ready = (rng.u8(..10) < 3).then(probe);
    component.health = (rng.u8(..10) < 4).then(probe);
    component.stop.timeout = Duration::from_secs(rng.u64(..20));
    let whens = [RestartWhen::Always, RestartWhen::OnFailure, RestartWhen::Never];
    let policy = &mut component.restart;
    policy.when = *rng.choice(&whens).unwrap_or(&RestartWhen::Always);
    policy.max_restarts = *rng.choice(&[None, Some(0), Some(3), Some(10)]).unwrap_or(&None);
    policy.delay = Duration::from_millis(*rng.choice(&[0, 100, 1000]).unwrap_or(&100));
    policy.max_delay = Duration::from_secs(*rng.choice(&[1, 10, 60]).unwrap_or(&60));
    policy.reset_after = Duration::from_secs(5);
    policy.window = Duration::from_secs(*rng.choice(&[10, 600]).unwrap_or(&600));
    component.arguments = vec![rng.u8(..3).to_string()];
    component
}

/// An operator's edit: one component leaves, comes back, or becomes another; or all is new.
pub fn edited(old: &Registry, rng: &mut Rng) -> Registry {
    let mut new = old.clone();
    if rng.u8(..4) == 0 || new.components.is_empty() {
        return some(rng);
    }
    let index = rng.usize(..new.components.len());
    let id = new.components[index].id.clone();
    match rng.u8(..8) {
        0 | 1 => {
            new.components.remove(index);
            for other in &mut new.components {
                other.depends_on.retain(|other| *other != id);
            }
        }
        2 | 3 => new.components[index].arguments.push("x".into()),
        4 => new.components[index].depends_on.clear(),
        5 => new.components[index].ready = rng.bool().then(probe),
        6 => new.components[index].start_delay = Duration::from_millis(rng.u64(..3000)),
        _ => {
            // One that is not there, if there is one.
            let there = |name: &str| new.components.iter().any(|one| &*one.id == name);
            if let Some(name) = NAMES.into_iter().find(|name| !there(name)) {
                let mut component = component(name, &[], rng);
                component.start_priority = 1;
                new.components.push(component.into());
            }
        }
    }
    new
}
