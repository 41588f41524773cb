use super::*;
use crate::wire::{EventKind, EventRecord};

const BASE: u64 = 1_000_000;

fn event(number: u64, text: &str) -> Update {
    let event = EventRecord {
        seq: number,
        at: "2026-11-27T12:00:00.000Z".to_owned(),
        component: Some("ps".to_owned()),
        run: None,
        kind: EventKind::Running,
        text: text.to_owned(),
        origin: None,
    };
    Update::Event { event }
}

fn awake() -> Updates {
    let updates = Updates::new(BASE);
    updates.wake();
    updates
}

fn publish(updates: &Updates, count: u64) {
    for number in 0..count {
        updates.publish(event(number, "runs"));
    }
}

/// The numbers of what a reader gets next, or how much it missed.
async fn next(reader: &mut Reader) -> Result<Vec<u64>, u64> {
    match reader.next().await.expect("the ring is open") {
        Delivery::Messages(messages) => Ok(messages.iter().map(|message| message.seq).collect()),
        Delivery::Snapshot { missed } => Err(missed),
    }
}

#[tokio::test]
async fn a_new_reader_begins_with_a_snapshot_and_then_gets_each_message_once() {
    let updates = awake();
    publish(&updates, 2);
    let mut reader = updates.read(None);
    assert_eq!(next(&mut reader).await, Err(0));
    reader.resume(updates.last());
    publish(&updates, 3);
    assert_eq!(next(&mut reader).await, Ok(vec![BASE + 3, BASE + 4, BASE + 5]));
    publish(&updates, 1);
    assert_eq!(next(&mut reader).await, Ok(vec![BASE + 6]));
}

#[tokio::test]
async fn a_reader_that_was_away_goes_on_where_it_was() {
    let updates = awake();
    publish(&updates, 5);
    let mut reader = updates.read(Some(BASE + 3));
    assert_eq!(next(&mut reader).await, Ok(vec![BASE + 4, BASE + 5]));
    // Nothing came meanwhile: it waits.
    let mut up_to_date = updates.read(Some(BASE + 5));
    assert!(tokio::time::timeout(std::time::Duration::ZERO, up_to_date.next()).await.is_err());
}

#[tokio::test]
async fn a_place_in_an_earlier_process_is_no_place_here() {
    let updates = awake();
    publish(&updates, 5);
    for stranger in [BASE - 1, BASE + 6, 0, u64::MAX] {
        assert_eq!(next(&mut updates.read(Some(stranger))).await, Err(0), "{stranger}");
    }
}

#[tokio::test]
async fn a_slow_reader_learns_how_much_it_missed_and_costs_nobody_memory() {
    let updates = awake();
    let mut reader = updates.read(Some(BASE));
    let many = MOST_MESSAGES as u64 + 7;
    publish(&updates, many);
    assert_eq!(next(&mut reader).await, Err(7));
    // Large messages are bounded in bytes.
    for number in 0..100 {
        updates.publish(event(number, &"x".repeat(100_000)));
        assert!(updates.shared.ring().bytes <= MOST_BYTES);
    }
    let ring = updates.shared.ring();
    assert_eq!(ring.bytes, ring.kept.iter().map(|message| message.json.len()).sum::<usize>());
}

#[tokio::test]
async fn what_was_published_while_nobody_could_read_is_counted() {
    let updates = awake();
    publish(&updates, 2);
    updates.sleep();
    publish(&updates, 3);
    assert_eq!(next(&mut updates.read(Some(BASE + 1))).await, Err(4));
    // Where somebody reads it stays awake.
    updates.wake();
    let reader = updates.read(Some(BASE + 5));
    updates.sleep();
    assert!(!updates.is_asleep());
    drop(reader);
    updates.sleep();
    assert!(updates.is_asleep());
}

#[tokio::test]
async fn after_a_renewal_everybody_begins_with_a_snapshot_and_missed_nothing() {
    let updates = awake();
    let mut reader = updates.read(Some(BASE));
    publish(&updates, 2);
    updates.renew();
    publish(&updates, 1);
    assert_eq!(next(&mut reader).await, Err(0));
    reader.resume(BASE + 3);
    assert_eq!(next(&mut reader).await, Ok(vec![BASE + 4]));
}

#[tokio::test]
async fn the_end_of_the_engine_ends_every_reader_after_the_last_message() {
    let updates = awake();
    let mut reader = updates.read(Some(BASE));
    publish(&updates, 1);
    updates.close();
    assert_eq!(next(&mut reader).await, Ok(vec![BASE + 1]));
    assert!(reader.next().await.is_none());
    updates.closed().await;
}

#[tokio::test]
async fn a_crowd_of_messages_comes_in_bounded_batches() {
    let updates = awake();
    publish(&updates, 1000);
    let mut reader = updates.read(Some(BASE));
    let mut seen = BASE;
    while seen < BASE + 1000 {
        let batch = next(&mut reader).await.expect("all are kept");
        assert!(batch.len() <= Reader::BATCH);
        assert_eq!(batch[0], seen + 1);
        seen += batch.len() as u64;
    }
}
