//! Joins the console's [`feed`](super::feed) to the Supervisors that it shows.
//!
//! ```text
//!              ┌─ connection   the stream of updates, reconnected for ever
//!   requests ──┼─ commands     one after the other, each answered
//!              ├─ looks        explanations, details, histories: the latest of each
//!              ├─ pages        pieces of the past of logs, each answered
//!              ├─ trace        the Supervisor's own log, while a screen shows it
//!              └─ logs         one stream for all logs on the screen, resumed where it broke
//!                    ⋮  the same for each host
//! ```
//!
//! Each of these is a task, so that nothing waits for something else: a host that is slow, dead
//! or busy with a log holds up neither its own commands nor any other host. It decides nothing
//! about components and retries no command: only an operator knows whether to ask twice.

mod commands;
mod connection;
mod delays;
mod logs;
mod looks;
mod pages;
mod trace;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
};

use self::commands::{Command, Order};
use super::feed::{Ask, ConsoleGone, HostIndex, LogWish, News, Remote, Request, Requests};
use crate::client::Client;

/// How long commands that are on their way may take once the console has been left.
const FAREWELL: Duration = Duration::from_secs(3);

/// Serves a console until it ends: `hosts` in the order of the feed's own.
///
/// What the operator has asked for before leaving is still sent; nothing else outlives the call.
pub async fn attach(remote: Remote, mut requests: Requests, hosts: Vec<Client>) {
    let mut watchers = JoinSet::new();
    let mut commands = JoinSet::new();
    let desks: Vec<Desk> = (0..)
        .zip(hosts)
        .map(|(index, client)| {
            let host = Host { index, client, remote: remote.clone() };
            Desk::open(host, &mut watchers, &mut commands)
        })
        .collect();
    drop(remote);
    while let Some(Request { host, ask }) = requests.recv().await {
        if let Some(desk) = desks.get(usize::from(host)) {
            desk.take(ask);
        }
    }
    drop(desks);
    watchers.abort_all();
    let sent = async { while commands.join_next().await.is_some() {} };
    let _unsent = tokio::time::timeout(FAREWELL, sent).await;
    commands.shutdown().await;
    watchers.shutdown().await;
}

/// One host, as its tasks see it.
#[derive(Debug, Clone)]
struct Host {
    index: HostIndex,
    client: Client,
    remote: Remote,
}

impl Host {
    async fn tell(&self, news: News) -> Result<(), ConsoleGone> {
        self.remote.tell(self.index, news).await
    }
}

/// Where the wishes to one host go. The queues are as unbounded as the console's own.
#[derive(Debug)]
struct Desk {
    commands: mpsc::UnboundedSender<Command>,
    looks: mpsc::UnboundedSender<looks::Look>,
    pages: mpsc::UnboundedSender<pages::Wish>,
    trace: watch::Sender<bool>,
    logs: watch::Sender<Vec<LogWish>>,
    reconnect: Arc<Notify>,
}

impl Desk {
    fn open(host: Host, watchers: &mut JoinSet<()>, commands: &mut JoinSet<()>) -> Self {
        let (command_sender, command_queue) = mpsc::unbounded_channel();
        let (look_sender, look_queue) = mpsc::unbounded_channel();
        let (page_sender, page_queue) = mpsc::unbounded_channel();
        let (trace, trace_wish) = watch::channel(false);
        let (logs, wishes) = watch::channel(Vec::new());
        let (live_sender, live) = watch::channel(false);
        let reconnect = Arc::new(Notify::new());
        commands.spawn(commands::perform(host.clone(), command_queue));
        // These end when there is nobody to tell, or with `attach`.
        let (of, again) = (host.clone(), Arc::clone(&reconnect));
        watchers.spawn(async move {
            let ConsoleGone = connection::keep(&of, &again, &live_sender).await;
        });
        let (of, connected) = (host.clone(), live.clone());
        watchers.spawn(async move {
            let ConsoleGone = trace::follow(&of, trace_wish, connected).await;
        });
        let of = host.clone();
        watchers.spawn(async move {
            let ConsoleGone = logs::follow(&of, wishes, live).await;
        });
        let of = host.clone();
        watchers.spawn(async move {
            let ConsoleGone = pages::perform(&of, page_queue).await;
        });
        watchers.spawn(async move {
            let ConsoleGone = looks::perform(&host, look_queue).await;
        });
        Self {
            commands: command_sender,
            looks: look_sender,
            pages: page_sender,
            trace,
            logs,
            reconnect,
        }
    }

    /// A task that has ended had nobody to tell: then there is nobody to answer either.
    fn take(&self, ask: Ask) {
        match ask {
            Ask::Command { number, verb, ids, if_run } => {
                let order = Order::Verb { verb, ids, if_run };
                let _gone = self.commands.send(Command { number, order });
            }
            Ask::Hold { number, id, until, reason } => {
                let order = Order::Hold { id, until, reason };
                let _gone = self.commands.send(Command { number, order });
            }
            Ask::Release { number, id } => {
                let _gone = self.commands.send(Command { number, order: Order::Release { id } });
            }
            Ask::Logs { wanted } => {
                self.logs.send_replace(wanted);
            }
            Ask::SupervisorLog { wanted } => {
                self.trace.send_replace(wanted);
            }
            Ask::Page { number, ids, part, most } => {
                let _gone = self.pages.send(pages::Wish { number, ids, part, most });
            }
            Ask::History { id, range, points } => {
                let _gone = self.looks.send(looks::Look::History { id, range, points });
            }
            Ask::Explain { id } => {
                let _gone = self.looks.send(looks::Look::Explain { id });
            }
            Ask::Details { id } => {
                let _gone = self.looks.send(looks::Look::Details { id });
            }
            Ask::Reconnect => self.reconnect.notify_one(),
        }
    }
}
