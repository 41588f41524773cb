//! From a component's configuration to a launch that is complete.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::OpenOptions,
    io::{self, Read as _},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use crate::{
    model::RunId,
    process::{self, Launch},
    registry::Component,
};

/// Variables that are the Supervisor's own business with who started it.
const NOT_INHERITED: [&str; 8] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDNAMES",
    "FDSTORE",
];

/// Largest environment file.
const ENVIRONMENT_FILE_MAX: u64 = 1 << 20;

/// The launch of `component`, with `extra` over everything in its environment.
pub fn launch(
    component: &Component,
    run: RunId,
    extra: Vec<(String, String)>,
    stdout: OwnedFd,
    stderr: OwnedFd,
) -> Result<Launch, String> {
    let mut environment: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
    for name in NOT_INHERITED {
        environment.remove(&OsString::from(name));
    }
    if let Some(file) = &component.environment_file {
        let set = environment_file(file)?;
        environment.extend(set.into_iter().map(|(name, value)| (name.into(), value.into())));
    }
    let own = component.environment.iter().map(|(name, value)| (name.into(), value.into()));
    environment.extend(own);
    environment.insert("S7SUPERVISOR_COMPONENT".into(), component.id.as_str().into());
    environment.insert("S7SUPERVISOR_RUN".into(), run.to_string().into());
    environment.extend(extra.into_iter().map(|(name, value)| (name.into(), value.into())));
    Ok(Launch {
        executable: component.executable.clone(),
        arguments: component.arguments.iter().map(OsString::from).collect(),
        environment: environment.into_iter().collect(),
        working_directory: component.working_directory.clone(),
        user: component.user.clone(),
        group: component.group.clone(),
        umask: component.umask,
        limits: (*component.limits).clone(),
        stdout,
        stderr,
    })
}

/// Who owns the component's pipes, where it has a user of its own.
pub fn pipe_owner(component: &Component) -> io::Result<Option<(u32, u32)>> {
    let Some(user) = &component.user else { return Ok(None) };
    let Some(uid) = process::user_id(user)? else { return Ok(None) };
    let gid = match &component.group {
        Some(group) => process::group_id(group)?,
        None => None,
    };
    Ok(Some((uid, gid.unwrap_or(uid))))
}

/// The folder of the components' pipes in the runtime folder.
pub fn pipes_folder(temp: &Path) -> PathBuf {
    temp.join("pipes")
}

/// `NAME=value` lines, read at every start. `#` begins a comment line; a value may stand in
/// quotes.
fn environment_file(file: &Path) -> Result<Vec<(String, String)>, String> {
    let cannot = |why: &dyn std::fmt::Display| {
        format!("cannot read the environment file {}: {why}", file.display())
    };
    // What is no file (a FIFO, a device) could keep us waiting, or never end.
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(file)
        .map_err(|error| cannot(&error))?;
    let metadata = opened.metadata().map_err(|error| cannot(&error))?;
    if !metadata.is_file() {
        return Err(cannot(&"it is no regular file"));
    }
    let mut text = String::new();
    let read = opened.take(ENVIRONMENT_FILE_MAX + 1).read_to_string(&mut text);
    if read.map_err(|error| cannot(&error))? as u64 > ENVIRONMENT_FILE_MAX {
        return Err(cannot(&format!("more than {ENVIRONMENT_FILE_MAX} bytes are not allowed")));
    }
    variables(&text).map_err(|why| cannot(&why))
}

/// What the text of an environment file sets.
pub(super) fn variables(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut variables = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        match line.split_once('=').map(|(name, value)| (name.trim(), value.trim_start())) {
            Some((name, value)) if !name.is_empty() && !line.contains('\0') => {
                variables.push((name.to_owned(), unquoted(value).to_owned()));
            }
            _ => return Err(format!("line {number} is not NAME=value")),
        }
    }
    Ok(variables)
}

fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        let inner = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner {
            return inner;
        }
    }
    value
}

/// A number that changes with everything a process is started with.
pub fn fingerprint(component: &Component) -> u32 {
    let Component {
        executable,
        arguments,
        working_directory,
        environment,
        environment_file,
        user,
        group,
        umask,
        limits,
        ..
    } = component;
    let started_with = format!(
        "{:?}",
        (
            (executable, arguments, working_directory, environment, environment_file),
            (user, group, umask),
            (limits.open_files, limits.core, limits.nice, limits.oom_score_adjust),
        )
    );
    crc32fast::hash(started_with.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn an_environment_file_reads_as_a_shell_would_in_the_simple_cases() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("env");
        fs::write(&file, "# a comment\nA=1\nexport B = 'two words'\n\nC=\"x=y\"\n")
            .expect("written");
        let variables = environment_file(&file).expect("readable");
        let expected = [("A", "1"), ("B", "two words"), ("C", "x=y")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(variables, expected);
        fs::write(&file, "nonsense\n").expect("written");
        assert!(environment_file(&file).expect_err("refused").contains("line 1"));
        for wrong in ["=1\n", "export =1", "A=1\0"] {
            assert!(super::variables(wrong).expect_err(wrong).contains("line 1"));
        }
    }

    #[test]
    fn what_is_no_file_keeps_nobody_waiting() {
        let folder = tempfile::tempdir().expect("a folder");
        let fifo = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).expect("made");
        for path in [fifo.as_path(), Path::new("/dev/zero"), folder.path()] {
            let error = environment_file(path).expect_err("refused");
            assert!(error.ends_with("it is no regular file"), "{error}");
        }
        let long = folder.path().join("long");
        fs::write(&long, "A=1\n".repeat(1 << 20)).expect("written");
        assert!(environment_file(&long).expect_err("refused").contains("not allowed"));
    }
}
