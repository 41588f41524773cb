//! From a pipe into the buffer, and on to the intake.

use super::{
    clock::monotonic,
    in_hand::InHand,
    intake::{Intake, Tools},
    line::Stream,
    os::Pipe,
    pace::Found,
};

/// Bytes that are read at once.
pub(super) const CHUNK: usize = 64 << 10;

/// Chunks that are read from one pipe before the others get their turn.
const CHUNKS_IN_A_ROW: usize = 4;

/// What is read of a component at most when everything that is in its pipes is wanted: a process
/// that goes on writing must not hold the thread. Two pipes hold as much at most, unless an
/// administrator has raised the limit.
const DRAIN_MAX: usize = 2 << 20;

/// Reads what a pipe has, but not for so long that others have to wait; what there was to read.
/// `None`: there is no such pipe.
pub(super) fn read_some(
    intake: &mut Intake,
    stream: Stream,
    tools: &mut Tools,
    buffer: &mut InHand,
) -> Option<Found> {
    let mut pipes = intake.pipes.take()?;
    let pipe = &mut pipes[stream.index()];
    let found = Found { bytes: pipe.waiting(), capacity: pipe.capacity() };
    let chunks = if intake.must_wait(stream) {
        // Held back in memory only where its writer would have to wait otherwise.
        usize::from(found.is_crowded())
    } else {
        CHUNKS_IN_A_ROW
    };
    let mut left = found.bytes;
    for _ in 0..chunks {
        let count = read_chunk(intake, pipe, stream, left, tools, buffer);
        left = left.saturating_sub(count);
        if left == 0 || count == 0 {
            break;
        }
    }
    if found.is_crowded() {
        pipe.enlarge();
    }
    intake.pipes = Some(pipes);
    Some(found)
}

/// Reads everything that is in the pipes of a component.
pub(super) fn drain(intake: &mut Intake, tools: &mut Tools, buffer: &mut InHand) {
    let Some(mut pipes) = intake.pipes.take() else { return };
    let mut total = 0;
    while total < DRAIN_MAX {
        // In turns, so that little of one is held back for the other.
        let counts = Stream::BOTH.map(|stream| {
            let pipe = &mut pipes[stream.index()];
            let waiting = pipe.waiting();
            read_chunk(intake, pipe, stream, waiting, tools, buffer)
        });
        total += counts[0] + counts[1];
        if counts == [0, 0] {
            break;
        }
    }
    intake.pipes = Some(pipes);
}

/// Reads of the bytes that wait as many as there is room for; how many it were.
fn read_chunk(
    intake: &mut Intake,
    pipe: &mut Pipe,
    stream: Stream,
    waiting: usize,
    tools: &mut Tools,
    buffer: &mut InHand,
) -> usize {
    if waiting == 0 {
        return 0;
    }
    let result = pipe.read(buffer.begin(intake.id.as_ref(), stream, waiting.min(CHUNK)));
    let at = tools.calendar.now();
    buffer.taken(result.as_ref().ok().copied().flatten().unwrap_or(0), at);
    let count = match result {
        Ok(Some(count)) => {
            intake.take(tools, stream, &buffer.bytes()[..count], at, monotonic());
            count
        }
        Ok(None) => 0,
        Err(error) => {
            let component = intake.id.as_deref();
            tracing::error!(component, stream = stream.name(), %error, "cannot read output");
            0
        }
    };
    buffer.done();
    count
}
