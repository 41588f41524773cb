//! Server-sent events out of chunks that end anywhere, as the HTML standard has them.

use super::lines::{Lines, TooLong};

/// One event. Its `id` is not kept: our messages carry their number themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// `message` where the sender named none.
    pub(super) name: String,
    pub(super) data: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Events {
    lines: Lines,
    longest: usize,
    /// A byte order mark may stand before the first line.
    begun: bool,
    name: String,
    /// The data lines so far, each followed by LF.
    data: Vec<u8>,
}

impl Events {
    /// For events of at most `longest` bytes.
    pub(super) fn new(longest: usize) -> Self {
        let lines = Lines::new(longest);
        Self { lines, longest, begun: false, name: String::new(), data: Vec::new() }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.lines.push(bytes);
    }

    /// The next whole event, if it is here.
    pub(super) fn next(&mut self) -> Option<Result<Event, TooLong>> {
        loop {
            let mut line = match self.lines.next()? {
                Ok(line) => line,
                Err(too_long) => return Some(Err(too_long)),
            };
            if !self.begun {
                self.begun = true;
                line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
            }
            if line.is_empty() {
                let name = std::mem::take(&mut self.name);
                if self.data.pop().is_some() {
                    let data = std::mem::take(&mut self.data);
                    let name = if name.is_empty() { "message".to_owned() } else { name };
                    return Some(Ok(Event { name, data }));
                }
                continue;
            }
            let (field, value) = match memchr::memchr(b':', line) {
                // A comment: it keeps the connection alive and says nothing.
                Some(0) => continue,
                Some(at) => (&line[..at], &line[at + 1..]),
                None => (line, &b""[..]),
            };
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match field {
                b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
                b"data" if self.data.len() + value.len() > self.longest => {
                    return Some(Err(TooLong));
                }
                b"data" => {
                    self.data.extend_from_slice(value);
                    self.data.push(b'\n');
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(name: &str, data: &str) -> Event {
        Event { name: name.to_owned(), data: data.as_bytes().to_vec() }
    }

    fn read<'c>(chunks: impl IntoIterator<Item = &'c [u8]>) -> Vec<Event> {
        let mut events = Events::new(1024);
        let mut found = Vec::new();
        for chunk in chunks {
            events.push(chunk);
            while let Some(event) = events.next() {
                found.push(event.expect("short"));
            }
        }
        found
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        let text = "\u{feff}event: snapshot\nid: 7\ndata: {\"a\":\ndata: 1}\n\n\
                    : alive\n\n\
                    data:bare\r\n\r\n\
                    event: nothing\n\n\
                    retry: 10\nunknown: field\ndata\n\n\
                    data: not ended\n";
        let wanted =
            [event("snapshot", "{\"a\":\n1}"), event("message", "bare"), event("message", "")];
        assert_eq!(read([text.as_bytes()]), wanted);
    }

    proptest! {
        #[test]
        fn events_are_the_same_wherever_chunks_end(
            wanted in prop::collection::vec(("[a-z]{1,8}", "[ -~é]{1,40}", any::<bool>()), 0..12),
            ends in prop::sample::select(vec!["\n", "\r\n", "\r"]),
            cuts in prop::collection::vec(1..9_usize, 1..30),
        ) {
            let mut text = String::new();
            for (name, data, commented) in &wanted {
                if *commented {
                    text += ": alive";
                    text += &ends.repeat(2);
                }
                let fields = ["event: ", name, ends, "id: 1", ends, "data: ", data, ends, ends];
                text += &fields.concat();
            }
            let (mut rest, mut cuts) = (text.as_bytes(), cuts.iter().cycle());
            let mut chunks = Vec::new();
            while !rest.is_empty() {
                let (chunk, after) = rest.split_at(rest.len().min(*cuts.next().expect("a cycle")));
                chunks.push(chunk);
                rest = after;
            }
            let wanted: Vec<_> = wanted.iter().map(|(name, data, _)| event(name, data)).collect();
            prop_assert_eq!(read(chunks), wanted);
        }
    }

    #[test]
    fn an_event_without_an_end_does_not_eat_the_memory() {
        let mut events = Events::new(64);
        for _ in 0..10 {
            events.push(b"data: 0123456789\n");
        }
        assert_eq!(events.next(), Some(Err(TooLong)));
    }
}
