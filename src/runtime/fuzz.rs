//! For any bytes: the files that an earlier Supervisor left in the runtime folder, and the
//! environment files of components.

use super::{holds, journal, launch};

/// What has been read is the same when it was written anew and read again; a line more never lowers the number of
/// the next run; what was torn off at the end was never written.
pub(crate) fn journal(bytes: &[u8]) {
    const BOOT: &str = "b1";
    let Ok(state) = journal::read(bytes, BOOT) else { return };
    let compacted = |state: &journal::State| {
        let mut lines = Vec::new();
        for entry in state.entries(BOOT) {
            lines.extend(journal::line(&entry).expect("it can be written"));
        }
        journal::read(&lines, BOOT).expect("our own")
    };
    let once = compacted(&state);
    assert_eq!(compacted(&once), once);
    assert_eq!(once.next_run, state.next_run);
    for (id, one) in &state.components {
        let kept = once.components.get(id).cloned().unwrap_or_default();
        assert_eq!((&kept.run, &kept.process, kept.ready), (&one.run, &one.process, one.ready));
        assert_eq!(kept.stopped_by_hand, one.stopped_by_hand);
    }

    let mut before: Option<journal::State> = None;
    let mut upto = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n').take(40) {
        let Ok(torn) = journal::read(&bytes[..upto + line.len() / 2], BOOT) else { return };
        let whole_line = serde_json::from_slice::<journal::Entry>(line).is_ok();
        if let Some(before) = &before
            && whole_line
            && line.trim_ascii() == line.strip_suffix(b"\n").unwrap_or(line)
        {
            assert_eq!(&torn, before, "a torn line counts");
        }
        upto += line.len();
        let Ok(state) = journal::read(&bytes[..upto], BOOT) else { return };
        assert!(before.is_none_or(|before| before.next_run <= state.next_run));
        before = Some(state);
    }
}

/// What is understood is written and read again as it is.
pub(crate) fn holds(bytes: &[u8]) {
    if let Ok(content) = holds::read(bytes) {
        let again = serde_json::to_vec(&content).expect("it was JSON");
        let read = holds::read(&again).expect("our own");
        assert_eq!(format!("{read:?}"), format!("{content:?}"));
    }
}

/// Every variable has a name that the kernel takes.
pub(crate) fn environment_file(bytes: &[u8]) {
    let Ok(variables) = launch::variables(&String::from_utf8_lossy(bytes)) else { return };
    for (name, value) in variables {
        assert!(!name.is_empty() && !name.contains(['=', '\0']), "{name:?}");
        assert!(!value.contains('\0'), "{value:?}");
    }
}
