//! The Supervisor's own end, when every component has ended.

use std::{collections::BTreeSet, path::Path, time::Duration};

use super::{
    driver::{Driver, End},
    engine::{IN_HAND, PENDING_EVENTS},
    launch::pipes_folder,
};
use crate::{
    events,
    guardian::{self, DescriptorStore as _},
    logs,
    model::ComponentId,
    wire::EventKind,
};

/// How long the end may take after every component is gone.
const FAREWELL: Duration = Duration::from_secs(5);

pub(super) fn tell_end(driver: &mut Driver, end: &End) {
    // Whoever comes from now on is to hear that nobody serves.
    driver.stores.forget(guardian::name::CONTROL);
    driver.stores.forget(guardian::name::TCP);
    driver.guarding.held.clear();
    tracing::info!(restart = end.restart, "every component has ended; the Supervisor ends");
    let what = if end.restart { "restarts in place" } else { "ends" };
    let text = format!("every component has ended; the Supervisor {what}");
    driver.tell(None, EventKind::Supervisor, text, None);
    // Answers that go on and on end now.
    driver.publisher.updates.close();
}

/// Leaves nothing behind that is not of use to the next Supervisor.
pub(super) async fn finish(mut driver: Driver, log_thread: logs::LogThread, temp: &Path) {
    driver.send_last_alerts().await;
    driver.supervisor.end_record();
    let ids: Vec<ComponentId> = driver.supervisor.ids().cloned().collect();
    let Driver { births, containment, history, journal, logs, running, telling, .. } = driver;
    journal.close();
    births.finish();
    // What is held outlives a restart of the Supervisor; so do processes that cannot be ended.
    let alive: BTreeSet<&ComponentId> = running.values().map(|running| &running.id).collect();
    let swept = if alive.is_empty() { containment.sweep() } else { 0 };
    if swept > 0 {
        tracing::warn!(swept, "processes that belonged to no component any more were ended");
    }
    containment.remove();
    for id in ids.iter().filter(|id| !logs.is_retired(id)) {
        logs.close(id, !alive.contains(id));
    }
    let _never_made = std::fs::remove_dir_all(temp.join("notify"));
    let pending = temp.join(PENDING_EVENTS);
    // Nothing else is left to be done on this thread.
    let flushed = tokio::task::spawn_blocking(move || {
        if let events::Written::Failed { error, .. } = telling.log.write() {
            tracing::error!(%error, "the last events could not be stored");
        } else {
            let _holds_nothing = std::fs::remove_file(pending);
        }
        history.close();
        log_thread.shutdown(FAREWELL)
    })
    .await;
    drop(logs);
    if !matches!(flushed, Ok(true)) {
        tracing::error!("the logs could not be written to their end in time");
    }
    let _still_used = std::fs::remove_dir(pipes_folder(temp));
    let _holds_output = std::fs::remove_dir(temp.join(IN_HAND));
}
