//! The tokens of the TCP port: two files in the runtime folder, made when missing.
//!
//! Read once, when the port opens: deleting a file and restarting the Supervisor is how a token
//! is withdrawn.

use std::{
    fmt, fs,
    io::{self, Write as _},
    path::Path,
};

use subtle::ConstantTimeEq as _;

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    Full,
    ReadOnly,
}

/// Both tokens. Never shown.
pub(super) struct Tokens {
    full: String,
    read_only: String,
}

/// Shorter ones can be guessed; a file that was cut short must not open the door.
const SHORTEST: usize = 16;

impl TokenKind {
    /// As origins show it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Full => "control",
            Self::ReadOnly => "control-read",
        }
    }

    pub(super) fn reads_only(self) -> bool {
        self == Self::ReadOnly
    }

    fn file_name(self) -> &'static str {
        match self {
            Self::Full => "control.token",
            Self::ReadOnly => "control-read.token",
        }
    }
}

impl Tokens {
    /// Reads `control.token` and `control-read.token` in `folder`; makes the missing ones.
    pub(super) fn load_or_create(folder: &Path) -> io::Result<Self> {
        let tokens = Self {
            full: load_or_create(&folder.join(TokenKind::Full.file_name()))?,
            read_only: load_or_create(&folder.join(TokenKind::ReadOnly.file_name()))?,
        };
        if tokens.full == tokens.read_only {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "cannot tell the tokens apart: control.token and control-read.token are the \
                 same; delete one to have it made anew",
            ));
        }
        Ok(tokens)
    }

    /// What this token allows. How long it takes tells nothing about the right ones.
    pub(super) fn find(&self, token: &[u8]) -> Option<TokenKind> {
        let full = self.full.as_bytes().ct_eq(token);
        let read_only = self.read_only.as_bytes().ct_eq(token);
        if bool::from(full) {
            Some(TokenKind::Full)
        } else if bool::from(read_only) {
            Some(TokenKind::ReadOnly)
        } else {
            None
        }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(..)")
    }
}

fn load_or_create(path: &Path) -> io::Result<String> {
    let cannot = |verb: &str, error: io::Error| {
        let text = format!("cannot {verb} the token {}: {error}", path.display());
        io::Error::new(error.kind(), text)
    };
    match load(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create(path).map_err(|error| cannot("write", error))?;
            // Another Supervisor may have been faster: what the file says counts.
            load(path).map_err(|error| cannot("read", error))
        }
        loaded => loaded.map_err(|error| cannot("read", error)),
    }
}

fn load(path: &Path) -> io::Result<String> {
    let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidData, why.to_owned()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = fs::metadata(path)?;
        let owner = metadata.uid();
        if owner != 0 && owner != rustix::process::geteuid().as_raw() {
            return refuse("it belongs to another user; delete it to have it made anew");
        }
        if metadata.mode() & 0o037 != 0 {
            return refuse(
                "others may read or change it; delete it to have it made anew, or chmod 600",
            );
        }
    }
    let text = fs::read_to_string(path)?;
    let token = text.trim();
    if token.len() < SHORTEST || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return refuse("expected at least 16 printable characters; delete it to have it made anew");
    }
    Ok(token.to_owned())
}

/// Writes 32 random bytes as hex, readable by the owner alone, complete or not at all.
fn create(path: &Path) -> io::Result<()> {
    let mut random = [0_u8; 32];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?; // 0600 from the beginning
    for byte in random {
        write!(file, "{byte:02x}")?;
    }
    writeln!(file)?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
        _ => Ok(()),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    fn put(folder: &Path, name: &str, text: &str, mode: u32) {
        let path = folder.join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
    }

    #[test]
    fn missing_tokens_are_made_for_the_owner_alone_and_kept() {
        let folder = folder();
        let first = Tokens::load_or_create(folder.path()).expect("made");
        assert_eq!(first.full.len(), 64);
        assert_ne!(first.full, first.read_only);
        for kind in [TokenKind::Full, TokenKind::ReadOnly] {
            let metadata = fs::metadata(folder.path().join(kind.file_name())).expect("made");
            assert_eq!(metadata.mode() & 0o777, 0o600);
        }
        let again = Tokens::load_or_create(folder.path()).expect("read");
        assert_eq!((again.full, again.read_only), (first.full, first.read_only));
    }

    #[test]
    fn each_token_allows_its_own_and_a_wrong_one_nothing() {
        let folder = folder();
        put(folder.path(), "control.token", "full-0123456789abcdef\n", 0o600);
        put(folder.path(), "control-read.token", "read-0123456789abcdef\n", 0o640);
        let tokens = Tokens::load_or_create(folder.path()).expect("read");
        assert_eq!(tokens.find(b"full-0123456789abcdef"), Some(TokenKind::Full));
        assert_eq!(tokens.find(b"read-0123456789abcdef"), Some(TokenKind::ReadOnly));
        for wrong in ["", "full-0123456789abcde", "full-0123456789abcdef0"] {
            assert_eq!(tokens.find(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_token_that_protects_nothing_is_refused() {
        for (text, mode, why) in [
            ("", 0o600, "at least 16"),
            ("short", 0o600, "at least 16"),
            ("with a space 0123456789", 0o600, "printable"),
            ("full-0123456789abcdef", 0o644, "others may read"),
            ("full-0123456789abcdef", 0o660, "others may read or change"),
        ] {
            let folder = folder();
            put(folder.path(), "control.token", text, mode);
            let error = Tokens::load_or_create(folder.path()).expect_err(why).to_string();
            assert!(error.contains(why) && error.contains("control.token"), "{error}");
        }
        let folder = folder();
        put(folder.path(), "control.token", "same-0123456789abcdef", 0o600);
        put(folder.path(), "control-read.token", "same-0123456789abcdef", 0o600);
        Tokens::load_or_create(folder.path()).expect_err("the same");
    }
}
