//! The plain status stream: a line for each change, for pipes and for terminals that are none.

use std::{collections::HashMap, fmt::Write as _, time::Duration};

use jiff::ZonedDateTime;

use super::{Context, several, table, ui::clean, words};
use crate::{
    client::{Client, ClientError},
    wire::{ComponentState, ComponentStatus, Health, Status},
};

/// Between two looks. What comes and goes within it is told by its traces: run and restarts.
const LOOK: Duration = Duration::from_millis(250);

/// Streams what happens to `ids` (none: to all) until nobody reads, or `ended` says that there is nothing more to come.
pub async fn follow(context: &Context, client: &Client, ids: &[String], ended: impl Fn() -> bool) {
    let mut teller = Teller::default();
    while !context.ui.reader_gone() {
        let lines = match client.status().await {
            Ok(mut status) => {
                status.components.retain(|component| ids.is_empty() || ids.contains(&component.id));
                teller.changes(&status)
            }
            Err(error) => teller.lost(&error),
        };
        for line in lines {
            context.ui.line(format_args!("{} {line}", ZonedDateTime::now().strftime("%H:%M:%S")));
        }
        if ended() {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The same for several hosts: each line says whose it is.
pub async fn follow_several(context: &Context, clients: &[(String, Client)], ids: &[String]) {
    let mut tellers: Vec<Teller> = clients.iter().map(|_| Teller::default()).collect();
    let mut watch = several::watch(clients, LOOK);
    while !context.ui.reader_gone() {
        let Some((index, heard)) = watch.answers.recv().await else { return };
        let lines = match heard {
            Ok(mut status) => {
                status.components.retain(|component| ids.is_empty() || ids.contains(&component.id));
                tellers[index].changes(&status)
            }
            Err(error) => tellers[index].lost(&error),
        };
        for line in lines {
            let time = ZonedDateTime::now().strftime("%H:%M:%S");
            context.ui.line(format_args!("{time} {} {line}", clients[index].0));
        }
    }
}

/// What has been told.
#[derive(Debug, Default)]
pub struct Teller {
    told: HashMap<String, Told>,
    supervisor: Option<(u32, u64)>,
    lost: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    state: ComponentState,
    run: Option<u64>,
    health: Health,
    reason: Option<String>,
}

impl Teller {
    /// The lines, without their time, that tell what `status` shows anew.
    pub fn changes(&mut self, status: &Status) -> Vec<String> {
        let mut lines = Vec::new();
        let supervisor = (status.supervisor.pid, status.supervisor.generation);
        if self.lost || self.supervisor != Some(supervisor) {
            self.lost = false;
            self.supervisor = Some(supervisor);
            lines.push(format!(
                "supervisor running pid {} generation {}",
                supervisor.0, supervisor.1
            ));
        }
        for component in &status.components {
            let now = Told {
                state: component.state,
                run: component.run,
                health: component.health,
                reason: component.reason.clone(),
            };
            let before = self.told.get(&component.id);
            if before != Some(&now) {
                lines.push(change(component, before));
                self.told.insert(component.id.clone(), now);
            }
        }
        let gone = |id: &String| !status.components.iter().any(|component| component.id == *id);
        let removed: Vec<String> = self.told.keys().filter(|id| gone(id)).cloned().collect();
        for id in removed {
            self.told.remove(&id);
            lines.push(format!("{} removed", clean(&id)));
        }
        lines
    }

    /// The Supervisor does not answer: told once, until it answers again.
    pub fn lost(&mut self, error: &ClientError) -> Vec<String> {
        if self.supervisor.is_none() || self.lost {
            return Vec::new();
        }
        self.lost = true;
        match error {
            ClientError::NotRunning { .. } => vec!["supervisor not running".to_owned()],
            other => vec![format!("supervisor {}", clean(&other.to_string()))],
        }
    }
}

fn change(component: &ComponentStatus, before: Option<&Told>) -> String {
    let mut line = format!("{} {}", clean(&component.id), component.state);
    if let Some(pid) = component.pid {
        let _ = write!(line, " pid {pid}");
    }
    let restarted = before.is_some_and(|before| before.run != component.run);
    if restarted
        && component.restarts > 0
        && let Some(last) = &component.last_exit
    {
        let _ = write!(line, " restart {} after {}", component.restarts, words::ending(last));
    }
    if before.is_some_and(|before| before.health != component.health)
        && matches!(component.health, Health::Ok)
    {
        line.push_str(" healthy");
    }
    if let Some((_, remark)) = table::remark(component, jiff::Timestamp::now()) {
        let _ = write!(line, " ({remark})");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples::{component, exit, status};

    #[test]
    fn each_change_is_told_once() {
        let mut teller = Teller::default();
        let mut ps = component("ps", ComponentState::Starting);
        assert_eq!(
            teller.changes(&status(vec![ps.clone()])),
            ["supervisor running pid 812 generation 1", "ps starting pid 4711"]
        );
        assert_eq!(teller.changes(&status(vec![ps.clone()])), [""; 0]);
        ps.state = ComponentState::Running;
        assert_eq!(teller.changes(&status(vec![ps])), ["ps running pid 4711"]);
        assert_eq!(teller.changes(&status(Vec::new())), ["ps removed"]);
    }

    #[test]
    fn a_restart_between_two_looks_leaves_its_line() {
        let mut teller = Teller::default();
        let mut ps = component("ps", ComponentState::Running);
        teller.changes(&status(vec![ps.clone()]));
        ps.run = Some(13);
        ps.restarts = 1;
        ps.last_exit = Some(exit(None, Some(9)));
        let lines = teller.changes(&status(vec![ps]));
        assert_eq!(lines, ["ps running pid 4711 restart 1 after SIGKILL"]);
    }

    #[test]
    fn a_lost_supervisor_is_told_once_and_so_is_its_return() {
        let mut teller = Teller::default();
        let gone = ClientError::NotRunning { target: "unix:/x".into(), why: "no socket".into() };
        assert_eq!(teller.lost(&gone), [""; 0], "nothing was there to lose");
        teller.changes(&status(Vec::new()));
        assert_eq!(teller.lost(&gone), ["supervisor not running"]);
        assert_eq!(teller.lost(&gone), [""; 0]);
        let back = teller.changes(&status(Vec::new()));
        assert_eq!(back, ["supervisor running pid 812 generation 1"]);
    }
}
