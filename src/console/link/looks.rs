//! What the console wants to look at once: explanations, details, histories.

use std::{mem, time::Duration};

use tokio::sync::mpsc;

use super::Host;
use crate::console::feed::{ConsoleGone, News};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Look {
    Explain { id: String },
    Details { id: String },
    History { id: String, range: Duration, points: u32 },
}

/// Asks for one after the other. Of those that wait only the latest of each kind is asked for:
/// the operator has moved on from the others. One that fails is not answered; the console asks
/// again as long as it shows it, and why it fails is told by the connection.
pub(super) async fn perform(host: &Host, mut queue: mpsc::UnboundedReceiver<Look>) -> ConsoleGone {
    let mut waiting: Vec<Look> = Vec::new();
    loop {
        if waiting.is_empty() {
            let Some(look) = queue.recv().await else { return ConsoleGone };
            waiting.push(look);
        }
        while let Ok(look) = queue.try_recv() {
            waiting.retain(|older| mem::discriminant(older) != mem::discriminant(&look));
            waiting.push(look);
        }
        if let Some(news) = ask(host, waiting.remove(0)).await
            && let Err(gone) = host.tell(news).await
        {
            return gone;
        }
    }
}

async fn ask(host: &Host, look: Look) -> Option<News> {
    let client = &host.client;
    match look {
        Look::Explain { id } => {
            let explanation = client.explain(&id).await.ok()?;
            Some(News::Explanation(Box::new(explanation)))
        }
        Look::Details { id } => {
            let details = client.details(&id).await.ok()?;
            Some(News::Details(Box::new(details)))
        }
        Look::History { id, range, points } => {
            let history = client.history(&id, range, points).await.ok()?;
            Some(News::History { range, history: Box::new(history) })
        }
    }
}
