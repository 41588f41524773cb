//! For any bytes: what a Supervisor streams to a client, or something else in its place.

use super::sse::{Event, Events};
use crate::{fuzzing::cuts, wire::Update};

/// Events are the same wherever chunks end; messages are read or refused, and mean the same when
/// they are written again.
pub(crate) fn updates(bytes: &[u8]) {
    for longest in [64, 1 << 20] {
        parse(bytes, longest);
    }
}

fn parse(bytes: &[u8], longest: usize) {
    let whole = read(longest, std::iter::once(bytes));
    assert_eq!(read(longest, bytes.chunks(1)), whole, "byte by byte");
    let mut rest = bytes;
    let pieces = cuts(bytes).map_while(|cut| {
        let (now, later) = rest.split_at(cut.min(rest.len()));
        rest = later;
        (!now.is_empty()).then_some(now)
    });
    assert_eq!(read(longest, pieces), whole, "in pieces");
    for event in whole.into_iter().flatten() {
        assert!(event.data.len() <= longest);
        if let Ok(update) = serde_json::from_slice::<Update>(&event.data) {
            let text = serde_json::to_string(&update).expect("it was JSON");
            assert_eq!(serde_json::from_str::<Update>(&text).ok(), Some(update));
        }
    }
}

/// Up to the first error: a stream ends there.
fn read<'c>(longest: usize, chunks: impl Iterator<Item = &'c [u8]>) -> Vec<Result<Event, ()>> {
    let mut events = Events::new(longest);
    let mut found = Vec::new();
    for chunk in chunks {
        events.push(chunk);
        while let Some(event) = events.next() {
            let failed = event.is_err();
            found.push(event.map_err(drop));
            if failed {
                return found;
            }
        }
    }
    found
}
