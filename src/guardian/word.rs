//! What engine and guardian say to each other, as packets of their socket pair.
//!
//! Both are the same program, but perhaps not of the same version: an upgraded engine finds the
//! guardian of its predecessor. So words are added and never changed, and unknown ones are
//! ignored.

use crate::process::Reaped;

/// The engine to its guardian. A name comes with a descriptor where it says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToGuardian<'a> {
    /// Keep the descriptor that comes along.
    Keep(&'a str),
    Forget(&'a str),
    /// Names with a newline between them. For the end alone: a guardian that does not know the word
    /// lets go of everything then.
    ForgetAll(&'a str),
    /// The API is served, and everything left by an earlier engine is watched.
    Serving,
    /// Everything was asked to end: a successor goes on with that.
    Stopping,
    /// Pass this on to the service manager, which listens to the main process alone.
    Notify(&'a [u8]),
    /// The engine has executed itself anew: give everything back.
    GiveBack,
    /// The engine ends in order; nothing is to be kept any more.
    Farewell,
}

/// The guardian to its engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToEngine<'a> {
    /// A process that fell to the guardian has ended, and was reaped.
    Ended(Reaped),
    /// The guardian was sent this signal, and the engine is meant.
    Signal(i32),
    /// The descriptor that comes along was kept under this name.
    Back(&'a str),
    /// That was all; this is who keeps it.
    BackComplete { guardian: u32 },
    /// Everything was let go of.
    Farewell,
}

impl ToGuardian<'_> {
    pub fn encode(&self) -> Vec<u8> {
        let (kind, rest): (u8, &[u8]) = match self {
            Self::Keep(name) => (b'K', name.as_bytes()),
            Self::Forget(name) => (b'F', name.as_bytes()),
            Self::ForgetAll(names) => (b'L', names.as_bytes()),
            Self::Serving => (b'S', b""),
            Self::Stopping => (b'X', b""),
            Self::Notify(text) => (b'N', text),
            Self::GiveBack => (b'G', b""),
            Self::Farewell => (b'B', b""),
        };
        let mut bytes = Vec::with_capacity(1 + rest.len());
        bytes.push(kind);
        bytes.extend_from_slice(rest);
        bytes
    }
}

impl<'a> ToGuardian<'a> {
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let name = || std::str::from_utf8(rest).ok().filter(|name| !name.is_empty());
        Some(match kind {
            b'K' => Self::Keep(name()?),
            b'F' => Self::Forget(name()?),
            b'L' => Self::ForgetAll(name()?),
            b'S' => Self::Serving,
            b'X' => Self::Stopping,
            b'N' => Self::Notify(rest),
            b'G' => Self::GiveBack,
            b'B' => Self::Farewell,
            _ => return None,
        })
    }
}

/// A word of the guardian, which allocates nothing for it.
#[derive(Debug)]
pub struct Packet {
    bytes: [u8; Self::ROOM],
    length: usize,
}

impl Packet {
    /// A name is shorter than that.
    const ROOM: usize = 128;

    fn new(kind: u8) -> Self {
        let mut packet = Self { bytes: [0; Self::ROOM], length: 0 };
        packet.put(&[kind]);
        packet
    }

    /// What does not fit is cut off, which no word of ours is.
    fn put(&mut self, part: &[u8]) {
        let room = self.bytes.get_mut(self.length..).unwrap_or_default();
        let count = room.len().min(part.len());
        room[..count].copy_from_slice(&part[..count]);
        self.length += count;
    }

    fn with(mut self, part: &[u8]) -> Self {
        self.put(part);
        self
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl ToEngine<'_> {
    /// Without allocation.
    pub fn encode(&self) -> Packet {
        match self {
            Self::Ended(Reaped { pid, start_time, status }) => Packet::new(b'e')
                .with(&pid.to_le_bytes())
                .with(&status.to_le_bytes())
                .with(&start_time.unwrap_or(u64::MAX).to_le_bytes()),
            Self::Signal(signal) => Packet::new(b's').with(&signal.to_le_bytes()),
            Self::Back(name) => Packet::new(b'k').with(name.as_bytes()),
            Self::BackComplete { guardian } => Packet::new(b'd').with(&guardian.to_le_bytes()),
            Self::Farewell => Packet::new(b'b'),
        }
    }
}

impl<'a> ToEngine<'a> {
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        Some(match kind {
            b'e' => {
                let (pid, rest) = rest.split_first_chunk()?;
                let (status, rest) = rest.split_first_chunk()?;
                let (start_time, _later_words) = rest.split_first_chunk()?;
                let start_time = Some(u64::from_le_bytes(*start_time)).filter(|at| *at != u64::MAX);
                let (pid, status) = (i32::from_le_bytes(*pid), i32::from_le_bytes(*status));
                Self::Ended(Reaped { pid, start_time, status })
            }
            b's' => Self::Signal(i32::from_le_bytes(*rest.first_chunk()?)),
            b'k' => Self::Back(std::str::from_utf8(rest).ok()?),
            b'd' => Self::BackComplete { guardian: u32::from_le_bytes(*rest.first_chunk()?) },
            b'b' => Self::Farewell,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_understood_at_the_other_end() {
        let words = [
            ToGuardian::Keep("pid.is.7"),
            ToGuardian::Forget("out.is"),
            ToGuardian::ForgetAll("out.is\nerr.is"),
            ToGuardian::Serving,
            ToGuardian::Stopping,
            ToGuardian::Notify(b"READY=1\nSTATUS=x"),
            ToGuardian::GiveBack,
            ToGuardian::Farewell,
        ];
        for word in words {
            assert_eq!(ToGuardian::decode(&word.encode()), Some(word));
        }
        let end = |start_time| ToEngine::Ended(Reaped { pid: 7, start_time, status: 0x300 });
        let words = [
            end(Some(4711)),
            end(None),
            ToEngine::Signal(15),
            ToEngine::Back("lock"),
            ToEngine::BackComplete { guardian: 77 },
            ToEngine::Farewell,
        ];
        for word in words {
            assert_eq!(ToEngine::decode(word.encode().as_bytes()), Some(word));
        }
    }

    #[test]
    fn what_is_no_word_is_ignored() {
        for bytes in [&b""[..], b"K", b"F", b"?", b"e123", b"K\xff"] {
            assert_eq!(ToGuardian::decode(bytes), None, "{bytes:?}");
            assert_eq!(ToEngine::decode(bytes), None, "{bytes:?}");
        }
    }
}
