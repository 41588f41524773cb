//! What the end of an ssh process means.

use super::process::Ended;
use crate::client::ClientError;

/// Lines of its words that are shown.
const LINES: usize = 3;

/// The reason in the end of an ssh process; none where it has nothing to say.
pub(super) fn of(target: &str, ended: &Ended) -> Option<ClientError> {
    let target = target.to_owned();
    let words = last_lines(&ended.words);
    let said = |text: &str| ended.words.contains(text);
    Some(match ended.code? {
        // ssh's own failure.
        255 if said("Permission denied") || said("Too many authentication failures") => {
            let why = format!("{words}; `ssh {target}` must be able to log in");
            ClientError::NotPermitted { target, why }
        }
        255 if said("Host key verification failed") => {
            let why = format!(
                "{words}; its key is not known here, or another one: run `ssh {target}` once and \
                 compare it"
            );
            ClientError::NotPermitted { target, why }
        }
        // A shell that does not know the command, or must not run it.
        126 | 127 => {
            let why = format!(
                "{words}; s7supervisor must be in the PATH of `ssh {target} COMMAND`, or \
                 S7_REMOTE_PROGRAM name it"
            );
            ClientError::Unreachable { target, why }
        }
        // The exit statuses of `dial-stdio`.
        69 => ClientError::NotRunning { target, why: words },
        77 => ClientError::NotPermitted { target, why: words },
        _ if words.is_empty() => return None,
        _ => ClientError::Unreachable { target, why: words },
    })
}

/// The last lines as one, fit for any terminal: they come from another machine.
fn last_lines(words: &str) -> String {
    let lines: Vec<&str> = words
        .split(['\n', '\r'])
        .map(|line| line.trim().trim_end_matches('.'))
        .filter(|line| !line.is_empty())
        .collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    let text = last.join("; ");
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let text = text.strip_prefix("the Supervisor is not running at ").unwrap_or(text);
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(code: i32, words: &str) -> ClientError {
        let ended = Ended { code: Some(code), words: words.to_owned() };
        of("ssh://anna@img-3", &ended).expect("a reason")
    }

    #[test]
    fn each_failure_says_what_to_do_next() {
        let error = verdict(255, "anna@img-3: Permission denied (publickey).\r\n");
        assert!(matches!(error, ClientError::NotPermitted { .. }), "{error:?}");
        assert_eq!(
            error.to_string(),
            "not permitted at ssh://anna@img-3: anna@img-3: Permission denied (publickey); \
             `ssh ssh://anna@img-3` must be able to log in"
        );
        let error = verdict(255, "No ED25519 host key is known\r\nHost key verification failed.");
        assert!(matches!(error, ClientError::NotPermitted { .. }), "{error:?}");
        assert!(error.to_string().contains("run `ssh ssh://anna@img-3` once"), "{error}");
        let error = verdict(127, "bash: line 1: s7supervisor: command not found\n");
        assert!(error.to_string().contains("S7_REMOTE_PROGRAM"), "{error}");
        let error = verdict(255, "ssh: Could not resolve hostname img-3: Name unknown");
        assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
    }

    #[test]
    fn what_runs_there_speaks_for_itself() {
        let gone = "error: the Supervisor is not running at unix:/x/supervisor.sock: no socket\n";
        let error = verdict(69, gone);
        assert!(matches!(error, ClientError::NotRunning { .. }), "{error:?}");
        assert_eq!(
            error.reason(),
            "the Supervisor is not running: unix:/x/supervisor.sock: no socket"
        );
        let silent = Ended { code: Some(0), words: String::new() };
        assert_eq!(of("ssh://x", &silent), None);
        let killed = Ended { code: None, words: "x".to_owned() };
        assert_eq!(of("ssh://x", &killed), None);
    }

    #[test]
    fn another_machine_cannot_drive_the_terminal() {
        let error = verdict(1, "banner\nmore\n\x1b]0;owned\x07\nlast words");
        assert_eq!(error.reason(), "more; �]0;owned�; last words");
    }
}
