//! A Supervisor on another machine: `ssh HOST s7supervisor dial-stdio`, and HTTP over its
//! standard input and output.
//!
//! The operator's own ssh does the login, with its configuration, keys and known hosts. Nothing
//! listens for it, and nobody gets in who could not log in anyway.
//!
//! Whoever makes many connections lets them share one login ([`shared`]); who has a screen up
//! lets ssh ask nothing any more.

mod process;
mod shared;
mod verdict;

use std::{
    ffi::OsString,
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub(super) use process::{Pipe, Trouble};
use shared::Shared;

/// How ssh is run, here and there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshOptions {
    /// The program here with its first arguments: an OpenSSH, or what takes its options.
    pub program: Vec<String>,
    /// The program there, likewise: `sudo -n s7supervisor`.
    pub remote_program: Vec<String>,
    /// Its arguments before `dial-stdio`: which registry is meant.
    pub remote_arguments: Vec<String>,
}

/// Where ssh goes, and how.
#[derive(Clone)]
pub struct Ssh {
    user: Option<String>,
    host: String,
    port: Option<u16>,
    options: SshOptions,
    /// Questions at a login are welcome: nothing else is on the terminal.
    prompts: Arc<AtomicBool>,
    shared: Option<Arc<Shared>>,
}

impl Default for SshOptions {
    fn default() -> Self {
        Self {
            program: vec!["ssh".to_owned()],
            remote_program: vec!["s7supervisor".to_owned()],
            remote_arguments: Vec::new(),
        }
    }
}

impl SshOptions {
    /// A program with arguments, written as for a shell: `ssh -F 'my config'`. Nothing in it is
    /// expanded. None where a quote is not closed, or nothing is there.
    pub fn program_of(text: &str) -> Option<Vec<String>> {
        shlex::split(text).filter(|words| !words.is_empty())
    }
}

impl Ssh {
    /// Reads `[USER@]HOST[:PORT]`, or says what is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.contains('/') {
            return Err("a path has no place in it (-i and -r name the installation there)");
        }
        let (user, rest) = match text.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, text),
        };
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or_default())),
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let bracketed = rest.starts_with('[');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let well_formed = if bracketed {
            host.parse::<std::net::Ipv6Addr>().is_ok()
        } else {
            !host.is_empty() && host.bytes().all(plain)
        };
        // What begins with a hyphen would be an option for ssh.
        if !well_formed || host.starts_with('-') {
            return Err("the host is no name or address (an IPv6 address stands in brackets)");
        }
        let user_part = |byte| plain(byte) || matches!(byte, b'@' | b'\\' | b'+');
        if let Some(user) = user
            && (user.is_empty() || user.starts_with('-') || !user.bytes().all(user_part))
        {
            return Err("the user is no name");
        }
        let port = match port.map(str::parse) {
            None => None,
            Some(Ok(port @ 1..)) => Some(port),
            Some(_) => return Err("the port is no number from 1 to 65535"),
        };
        Ok(Self {
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
            options: SshOptions::default(),
            prompts: Arc::new(AtomicBool::new(true)),
            shared: None,
        })
    }

    pub(super) fn with_options(self, options: SshOptions) -> Self {
        Self { options, ..self }
    }

    /// All connections from now on, those of clones too, take one login.
    pub(super) fn shared(self) -> io::Result<Self> {
        // Not every ssh can share a login: that of Windows cannot. Who has arranged it for himself
        // keeps his own, and we must not end it.
        if cfg!(not(unix)) || self.options.program.iter().any(|word| Shared::is_about_it(word)) {
            return Ok(self);
        }
        let shared = Shared::new(&self.options.program, &self.host)?;
        Ok(Self { shared: Some(Arc::new(shared)), ..self })
    }

    /// From now on, for clones too, ssh fails where it would ask.
    pub(super) fn ask_nothing(&self) {
        self.prompts.store(false, Ordering::Relaxed);
    }

    /// How long the login may take, on top of what an answer may take.
    pub(super) fn login_time(&self) -> Duration {
        Duration::from_secs(if self.prompts.load(Ordering::Relaxed) { 120 } else { 20 })
    }

    /// Starts ssh. That it cannot log in shows when nothing answers: [`Trouble`] then says why.
    pub(super) fn connect(&self) -> io::Result<(Pipe, Trouble)> {
        let (program, arguments) = self.command();
        process::start(&program, &arguments, self.to_string())
    }

    fn command(&self) -> (OsString, Vec<OsString>) {
        let mut words = self.options.program.iter().map(OsString::from);
        let program = words.next().unwrap_or_else(|| "ssh".into());
        // Of an option that is given twice ssh takes the first: the operator's words count most.
        let mut arguments: Vec<OsString> = words.collect();
        if let Some(shared) = &self.shared {
            arguments.extend(shared.arguments());
        }
        if let Some(user) = &self.user {
            arguments.extend(["-l".into(), user.into()]);
        }
        if let Some(port) = self.port {
            arguments.extend(["-p".into(), port.to_string().into()]);
        }
        let mut option = |text: &str| arguments.extend(["-o".into(), OsString::from(text)]);
        option("ConnectTimeout=10");
        // What the configuration adds to logins of people would be in the way.
        option("ClearAllForwardings=yes");
        option("ForwardAgent=no");
        option("ForwardX11=no");
        option("PermitLocalCommand=no");
        option("RemoteCommand=none");
        if !self.prompts.load(Ordering::Relaxed) {
            option("BatchMode=yes");
        }
        arguments.push("-T".into());
        arguments.extend(["--".into(), OsString::from(&self.host)]);
        arguments.push(self.remote_command().into());
        (program, arguments)
    }

    /// One text, because ssh hands it to a shell there.
    fn remote_command(&self) -> String {
        let options = &self.options;
        let words = options.remote_program.iter().chain(&options.remote_arguments);
        let words = words.map(String::as_str).chain(["dial-stdio"]);
        // A zero byte cannot be quoted, and no argument of a command line has one.
        let quoted = words.map(|word| shlex::try_quote(word).unwrap_or_default());
        quoted.collect::<Vec<_>>().join(" ")
    }
}

/// As written.
impl fmt::Debug for Ssh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Ssh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ssh://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(ssh: &Ssh) -> String {
        let (program, arguments) = ssh.command();
        let words = std::iter::once(program).chain(arguments);
        words.map(|word| word.into_string().expect("text")).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn a_target_is_read_as_it_is_written() {
        for text in ["img-3", "anna@img-3:2222", "[::1]:22", "DOM\\anna@10.0.0.9", "a@b@host"] {
            assert_eq!(Ssh::parse(text).expect(text).to_string(), format!("ssh://{text}"));
        }
    }

    #[test]
    fn what_ssh_would_take_for_an_option_or_a_command_is_refused() {
        for (text, why) in [
            ("-oProxyCommand=x", "host"),
            ("anna@-oProxyCommand=x", "host"),
            ("-lroot@host", "user"),
            ("", "host"),
            ("@host", "user"),
            ("ho st", "host"),
            ("host;reboot", "host"),
            ("$(x)@host", "user"),
            ("host:0", "port"),
            ("host:", "port"),
            ("::1", "host"),
            ("[::1", "host"),
            ("[::1]x", "port"),
            ("host/path", "path"),
        ] {
            let error = Ssh::parse(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn the_operators_words_go_before_ours_and_the_remote_ones_are_quoted() {
        let options = SshOptions {
            program: SshOptions::program_of("myssh -F 'my config'").expect("words"),
            remote_program: vec!["/opt/is/s7supervisor".to_owned()],
            remote_arguments: vec!["-i".to_owned(), "/opt/my is".to_owned()],
        };
        let ssh = Ssh::parse("anna@img-3:2222").expect("well-formed").with_options(options);
        let words_then = words(&ssh);
        assert!(words_then.starts_with("myssh|-F|my config|-l|anna|-p|2222|-o|"), "{words_then}");
        assert!(
            words_then.ends_with("|-T|--|img-3|/opt/is/s7supervisor -i '/opt/my is' dial-stdio"),
            "{words_then}"
        );
        assert!(!words_then.contains("BatchMode"));
        ssh.clone().ask_nothing();
        assert!(words(&ssh).contains("|-o|BatchMode=yes|"), "clones are told as well");
        assert!(!words_then.contains("ControlMaster"));
        let shared = ssh.clone().shared().expect("a temporary folder");
        assert!(words(&shared).contains("|-o|ControlMaster=auto|"));
        for own in ["ssh -S /my/socket", "ssh -o controlpath=x", "ssh -oControlMaster=no", "ssh -M"]
        {
            let program = SshOptions::program_of(own).expect("words");
            let options = SshOptions { program, ..SshOptions::default() };
            let ssh = ssh.clone().with_options(options).shared().expect("nothing to do");
            assert!(!words(&ssh).contains("ControlMaster=auto"), "{own}");
        }
        assert_eq!(SshOptions::program_of("ssh 'open"), None);
        assert_eq!(SshOptions::program_of("  "), None);
    }
}
