//! The task that reads a run's notify socket for as long as the run is watched.

use std::sync::Arc;

use tokio::{
    sync::SetOnce,
    time::{Duration, sleep, sleep_until},
};

use crate::probes::{Finding, ProbeKind, Reporter};

use super::{LONGEST, Received, Session, Socket};

/// Reads one run's datagrams.
pub(in crate::probes) struct Listener {
    pub reporter: Reporter,
    /// The leader of the tree whose processes are listened to.
    pub leader: u32,
    pub socket: Arc<Socket>,
    pub session: Session,
    /// Set when the run is ready: by this listener or by the rounds, whoever learns of it.
    pub ready: Arc<SetOnce<()>>,
    /// The last `MAINPID` that was told.
    pub main_pid: Option<u32>,
    /// The last refusal that was told.
    pub refused: Option<String>,
}

/// A component that floods its socket is held to this many datagrams per [`PAUSE`]: the rest
/// waits in the kernel, and then the component does.
const AT_ONCE: u32 = 16;
const PAUSE: Duration = Duration::from_millis(20);

impl Listener {
    pub async fn listen(mut self) {
        let mut taken = 0_u32;
        let mut armed = false;
        loop {
            let deadline = self.session.deadline().map(|at| self.reporter.instant(at));
            tokio::select! {
                biased;
                received = self.socket.next() => match received {
                    Ok(received) => {
                        self.take(received).await;
                        taken += 1;
                        if taken.is_multiple_of(AT_ONCE) {
                            sleep(PAUSE).await;
                        }
                    }
                    Err(error) => {
                        self.refuse(format!("notify: cannot read the socket: {error}")).await;
                        sleep(Duration::from_secs(1)).await;
                    }
                },
                () = async { self.ready.wait().await; }, if !armed => {
                    armed = true;
                    self.session.became_ready(self.reporter.now());
                }
                () = sleep_until(deadline.unwrap_or_else(tokio::time::Instant::now)),
                    if deadline.is_some() =>
                {
                    // We may be late ourselves: what has come in the meantime counts.
                    while let Some(received) = self.socket.pending() {
                        self.take(received).await;
                    }
                    for (kind, finding) in self.session.expire(self.reporter.now()) {
                        self.reporter.tell(kind, finding).await;
                    }
                }
            }
        }
    }

    async fn take(&mut self, received: Received) {
        let Some(sender) = received.sender.filter(|pid| self.is_member(*pid)) else {
            let who = received.sender.map_or_else(|| "a hidden process".to_owned(), pid_text);
            self.refuse(format!("notify: a message of {who}, which is not of this component"))
                .await;
            return;
        };
        let Some(message) = received.message else {
            let who = pid_text(sender);
            let bad = format!("notify: a message of {who} over {LONGEST} bytes or with zero bytes");
            self.refuse(bad).await;
            return;
        };
        if let Some(pid) = message.main_pid {
            self.main_pid(pid).await;
        }
        for (kind, finding) in self.session.take(self.reporter.now(), message) {
            match finding {
                Finding::Refused(reason) => self.refuse(reason).await,
                finding => self.reporter.tell(kind, finding).await,
            }
        }
        if self.session.is_ready() {
            // Set already when READY=1 came before: that is no news.
            let _ = self.ready.set(());
        }
    }

    async fn main_pid(&mut self, pid: u32) {
        if pid == self.leader || self.main_pid == Some(pid) {
            return;
        }
        if self.is_member(pid) {
            self.main_pid = Some(pid);
            self.reporter.tell(ProbeKind::Health, Finding::MainPid(pid)).await;
        } else {
            let foreign = format!("notify: MAINPID={pid} is not a process of this component");
            self.refuse(foreign).await;
        }
    }

    fn is_member(&self, pid: u32) -> bool {
        let members = &self.reporter.shared.services.members;
        pid == self.leader || members.contains(self.reporter.run, self.leader, pid)
    }

    /// Tells a refusal, but the same one only once in a row.
    async fn refuse(&mut self, reason: String) {
        if self.refused.as_ref() != Some(&reason) {
            self.refused = Some(reason.clone());
            self.reporter.tell(ProbeKind::Health, Finding::Refused(reason)).await;
        }
    }
}

fn pid_text(pid: u32) -> String {
    format!("pid {pid}")
}
