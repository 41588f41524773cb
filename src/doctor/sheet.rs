//! Every group of checks in a thread of its own, within one limit of time: a file system that does
//! not answer holds up the group that asks it, and nobody else.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::{Finding, Group, Scene};

/// What a group notes down.
pub(super) struct Sheet {
    group: Group,
    sender: mpsc::Sender<Message>,
    /// What is being asked just now, for the case that no answer comes.
    looking_at: Arc<Mutex<String>>,
}

enum Message {
    Found(Finding),
    Done(Group),
}

impl Sheet {
    pub fn add(&self, finding: Finding) {
        let finding = Finding { group: self.group, ..finding };
        // Nobody listens any more once the time is over.
        let _late = self.sender.send(Message::Found(finding));
    }

    /// To be said before something is asked that may never answer.
    pub fn look_at(&self, what: &Path) {
        *self.looking_at.lock().unwrap_or_else(PoisonError::into_inner) =
            what.display().to_string();
    }
}

/// A check: everything of one group.
pub(super) type Check = fn(&Scene, &Sheet);

/// What all of them found within `limit`, in the order of the groups.
pub(super) fn run(scene: &Arc<Scene>, checks: &[(Group, Check)], limit: Duration) -> Vec<Finding> {
    let (sender, findings) = mpsc::channel();
    let mut open: Vec<(Group, Arc<Mutex<String>>)> = Vec::new();
    let mut found = Vec::new();
    for &(group, check) in checks {
        let looking_at = Arc::<Mutex<String>>::default();
        let sheet = Sheet { group, sender: sender.clone(), looking_at: Arc::clone(&looking_at) };
        let scene = Arc::clone(scene);
        let started = start(move || {
            check(&scene, &sheet);
            let _late = sheet.sender.send(Message::Done(group));
        });
        match started {
            Ok(()) => open.push((group, looking_at)),
            Err(error) => {
                let finding = Finding::problem("checks", format!("cannot be looked at: {error}"));
                found.push(Finding { group, ..finding });
            }
        }
    }
    drop(sender);
    let deadline = now() + limit;
    while !open.is_empty() {
        match findings.recv_timeout(deadline.saturating_duration_since(now())) {
            Ok(Message::Found(finding)) => found.push(finding),
            Ok(Message::Done(group)) => open.retain(|(of, _)| *of != group),
            Err(_) => break,
        }
    }
    found.extend(open.iter().map(|(group, looking_at)| unanswered(*group, looking_at, limit)));
    found.sort_by_key(|finding| finding.group);
    found
}

fn unanswered(group: Group, looking_at: &Mutex<String>, limit: Duration) -> Finding {
    let what = looking_at.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = if what.is_empty() {
        format!("no answer within {} s", limit.as_secs())
    } else {
        format!("no answer within {} s from {what}", limit.as_secs())
    };
    let finding = Finding::problem("checks", seen)
        .why("what else belongs here could not be looked at; components that use it hang as well")
        .advice("mostly a dead network file system or disk: mend or unmount it, then look again");
    Finding { group, ..finding }
}

/// The answer of `ask`, if it comes within `limit`.
pub(super) fn within<T: Send + 'static>(
    limit: Duration,
    ask: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, answer) = mpsc::channel();
    start(move || {
        let _late = sender.send(ask());
    })
    .ok()?;
    answer.recv_timeout(limit).ok()
}

/// Nobody waits for its end: it may never come.
fn start(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("doctor".to_owned()).spawn(work).map(drop)
}

#[expect(clippy::disallowed_methods, reason = "how long an answer from outside takes")]
pub(super) fn now() -> Instant {
    Instant::now()
}
