//! The settings of a systemd unit, read from its files: `systemctl` may not be there, or hang.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Where units are, the first wins.
const FOLDERS: [&str; 4] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// A unit with its drop-ins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Unit {
    pub name: String,
    pub file: PathBuf,
    /// Of `[Service]`: the last value of each.
    settings: BTreeMap<String, String>,
}

impl Unit {
    /// The unit of this name, as it is on the disk.
    pub fn named(name: &str) -> Option<Self> {
        let file =
            FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|file| file.exists())?;
        let mut unit = Self { name: name.to_owned(), file: file.clone(), ..Self::default() };
        unit.read(&fs::read_to_string(file).ok()?);
        // Of two drop-ins with one name the one in the earlier folder counts.
        let mut drop_ins: BTreeMap<_, PathBuf> = BTreeMap::new();
        for folder in FOLDERS.iter().rev() {
            let Ok(entries) = fs::read_dir(Path::new(folder).join(format!("{name}.d"))) else {
                continue;
            };
            let files = entries.flatten().map(|entry| entry.path());
            let files = files.filter(|file| file.extension().is_some_and(|end| end == "conf"));
            drop_ins.extend(files.map(|file| (file.file_name().map(ToOwned::to_owned), file)));
        }
        for file in drop_ins.values() {
            unit.read(&fs::read_to_string(file).unwrap_or_default());
        }
        Some(unit)
    }

    /// The first unit whose program is this one.
    pub fn of_program(program: &str) -> Option<Self> {
        let names =
            FOLDERS.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        let mut services = names.filter(|name| name.ends_with(".service"));
        services.find_map(|name| {
            let unit = Self::named(&name)?;
            unit.get("ExecStart").is_some_and(|command| command.contains(program)).then_some(unit)
        })
    }

    fn read(&mut self, text: &str) {
        let mut in_service = false;
        // A backslash at the end of a line joins it with the next one.
        for line in text.replace("\\\n", " ").lines().map(str::trim) {
            if line.starts_with('[') {
                in_service = line == "[Service]";
            } else if let Some((name, value)) = line.split_once('=')
                && in_service
                && !line.starts_with(['#', ';'])
            {
                self.settings.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub fn is_set(&self, name: &str) -> bool {
        let value = self.get(name).unwrap_or_default().to_ascii_lowercase();
        // `Delegate` may also list controllers.
        !matches!(value.as_str(), "" | "no" | "false" | "off" | "0")
    }

    #[cfg(test)]
    pub fn of(text: &str) -> Self {
        let mut unit = Self { name: "s7.service".to_owned(), ..Self::default() };
        unit.read(text);
        unit
    }
}

/// A time span as systemd writes it: `90`, `1min 30s`; `None`: infinity, or not understood.
pub(super) fn span(text: &str) -> Option<Duration> {
    let mut total = 0.0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest.get(..end)?.parse().ok()?;
        let after = rest.get(end..)?.trim_start();
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let factor = match after.get(..end)? {
            "" | "s" | "sec" | "second" | "seconds" => 1.0,
            "ms" | "msec" => 1e-3,
            "us" | "usec" => 1e-6,
            "m" | "min" | "minute" | "minutes" => 60.0,
            "h" | "hr" | "hour" | "hours" => 3_600.0,
            "d" | "day" | "days" => 86_400.0,
            _ => return None,
        };
        total += number * factor;
        rest = after.get(end..)?.trim_start();
    }
    Duration::try_from_secs_f64(total).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_systemd_writes_them() {
        let seconds = |text| span(text).map(|span| span.as_secs_f64());
        assert_eq!(seconds("90"), Some(90.0));
        assert_eq!(seconds("1min 30s"), Some(90.0));
        assert_eq!(seconds("2h30min"), Some(9_000.0));
        assert_eq!(seconds("500ms"), Some(0.5));
        assert_eq!(seconds("infinity"), None);
        assert_eq!(seconds(""), None);
    }

    #[test]
    fn later_settings_of_the_service_count() {
        let unit = Unit::of(
            "[Unit]\nKillMode=none\n[Service]\n# KillMode=x\nKillMode=mixed\nExecStart=/a \\\n  b\n\
             Delegate=cpu memory\n[Install]\nKillMode=none\n[Service]\nKillMode=process\n",
        );
        assert_eq!(unit.get("KillMode"), Some("process"));
        assert_eq!(unit.get("ExecStart"), Some("/a    b"));
        assert!(unit.is_set("Delegate") && !unit.is_set("Type"));
    }
}
