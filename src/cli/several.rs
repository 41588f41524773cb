//! Several Supervisors at once: each is asked by a task of its own, so that one that is slow or
//! gone keeps nobody from hearing of the others.

use std::time::Duration;

use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    client::{Client, ClientError},
    wire::Status,
};

/// What one host answered.
pub type Heard = Result<Status, ClientError>;

/// Asks each once; the answers in the order of the clients.
pub async fn ask(clients: &[(String, Client)]) -> Vec<Heard> {
    let asked: Vec<_> = clients
        .iter()
        .map(|(_, client)| {
            let client = client.clone();
            tokio::spawn(async move { client.status().await })
        })
        .collect();
    let mut heard = Vec::new();
    for (answer, (name, _)) in asked.into_iter().zip(clients) {
        heard.push(answer.await.unwrap_or_else(|error| {
            let (target, why) = (name.clone(), error.to_string());
            Err(ClientError::Unreachable { target, why })
        }));
    }
    heard
}

/// Asks each again and again, so long after its last answer.
pub struct Watch {
    /// Which host, and what it answered.
    pub answers: mpsc::Receiver<(usize, Heard)>,
    /// They end with this value.
    _askers: JoinSet<()>,
}

pub fn watch(clients: &[(String, Client)], pause: Duration) -> Watch {
    // An answer waits for its reader: nothing piles up.
    let (sender, answers) = mpsc::channel(1);
    let mut askers = JoinSet::new();
    for (index, (_, client)) in clients.iter().enumerate() {
        let (client, sender) = (client.clone(), sender.clone());
        askers.spawn(async move {
            while sender.send((index, client.status().await)).await.is_ok() {
                tokio::time::sleep(pause).await;
            }
        });
    }
    Watch { answers, _askers: askers }
}
