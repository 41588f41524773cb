//! What clients ask about logs, as far as the driver knows the answer.

use std::{collections::BTreeSet, time::Duration};

use super::{driver::Driver, log_feed::LogSources, messages::Reply};
use crate::{
    model::{ComponentId, Origin},
    wire::{Problem, ProblemCode},
};

/// How long the files may take to be closed.
const REOPEN_PATIENCE: Duration = Duration::from_secs(10);

impl Driver {
    pub fn log_sources(&self, ids: &[String]) -> Result<LogSources, Problem> {
        let config = |id: &ComponentId| {
            let config = self.supervisor.config(id)?;
            Some((config.id.clone(), config.output.log.clone()))
        };
        let components = if ids.is_empty() {
            self.supervisor.ids().filter_map(config).collect()
        } else {
            let distinct: BTreeSet<&String> = ids.iter().collect();
            let found = distinct.into_iter().map(|id| {
                let known = self.supervisor.ids().find(|known| known.as_str() == id);
                known.and_then(config).ok_or_else(|| self.unknown(id))
            });
            found.collect::<Result<_, _>>()?
        };
        Ok(LogSources { logs: self.logs.clone(), components })
    }

    pub fn reopen_logs(&self, origin: &Origin, reply: Reply<()>) {
        tracing::info!(by = %origin, "the log files are opened anew");
        self.logs.reopen();
        let logs = self.logs.clone();
        // Whoever asks moves the files next: it is answered when nothing is written to them.
        tokio::task::spawn_blocking(move || {
            let answer = if logs.sync(REOPEN_PATIENCE) {
                Ok(())
            } else {
                let text = "the log files are not closed yet: a disk does not answer";
                Err(Problem::new(ProblemCode::Internal, text))
            };
            let _caller_left = reply.send(answer);
        });
    }
}
