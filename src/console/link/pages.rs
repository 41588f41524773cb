//! Pieces of the past of logs, for who scrolls up or goes to a time.

use tokio::sync::mpsc;

use super::Host;
use crate::{
    client::{ClientError, LogQuery},
    console::feed::{ConsoleGone, News, Page, Part},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) number: u64,
    pub(super) ids: Vec<String>,
    pub(super) part: Part,
    pub(super) most: u32,
}

/// Asks for one after the other, and answers each.
pub(super) async fn perform(host: &Host, mut queue: mpsc::UnboundedReceiver<Wish>) -> ConsoleGone {
    while let Some(wish) = queue.recv().await {
        let number = wish.number;
        let page = read(host, wish).await.map_err(|error| error.reason());
        if let Err(gone) = host.tell(News::Page { number, page }).await {
            return gone;
        }
    }
    ConsoleGone
}

async fn read(host: &Host, wish: Wish) -> Result<Page, ClientError> {
    let most = usize::try_from(wish.most).unwrap_or(usize::MAX);
    let mut query = LogQuery { ids: wish.ids, ..LogQuery::default() };
    let backwards = matches!(wish.part, Part::Until(_));
    match wish.part {
        Part::Until(time) => {
            query.until = Some(time);
            query.tail = Some(wish.most);
        }
        Part::Since(time) => query.since = Some(time),
        Part::After(places) => query.after = places,
    }
    let mut stream = host.client.logs(&query).await?;
    let mut page = Page::default();
    let mut count = 0;
    // Forwards the stream is left as soon as there is enough: it is made as it is read.
    while backwards || count < most {
        let Some(batch) = stream.next().await? else {
            page.last = true;
            break;
        };
        count += batch.len();
        for (id, mut records) in super::logs::by_component(batch) {
            match page.logs.iter_mut().find(|(of, _)| *of == id) {
                Some((_, known)) => known.append(&mut records),
                None => page.logs.push((id, records)),
            }
        }
    }
    if backwards {
        // A log that gave all that was wanted may have more.
        page.last = page.logs.iter().all(|(_, records)| records.len() < most);
    }
    Ok(page)
}
