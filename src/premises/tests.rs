//! Permissions as they are found on a real disk.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use super::*;

/// An installation with one component, all of it the test's own user's.
struct Installation {
    root: tempfile::TempDir,
}

impl Installation {
    fn new() -> Self {
        let made = Self { root: tempfile::tempdir().expect("a folder") };
        for folder in ["conf", "logs", "bin", "work"] {
            fs::create_dir(made.path(folder)).expect("made");
            made.mode(folder, 0o755);
        }
        let text = "<supervisor><config><tcpport>0</tcpport></config><servers><server id=\"ps\">\
             <executable>bin/ps</executable><workingDirectory>work</workingDirectory></server>\
             </servers></supervisor>";
        fs::write(made.path("conf/SupervisorRegistry.xml"), text).expect("written");
        fs::write(made.path("bin/ps"), "").expect("written");
        made.mode("conf/SupervisorRegistry.xml", 0o644).mode("bin/ps", 0o755);
        made
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.root.path().join(relative)
    }

    fn mode(&self, relative: &str, mode: u32) -> &Self {
        fs::set_permissions(self.path(relative), fs::Permissions::from_mode(mode)).expect("ours");
        self
    }

    fn examine(&self, file: &Path, trust: &Trust) -> Vec<Finding> {
        let loaded = registry::load(file, self.root.path(), &Sources::default());
        examine(&loaded.expect("a good registry").registry, trust)
    }

    /// What is found, as an operator reads it, without the folder of the test.
    fn told(&self) -> Vec<String> {
        let trust = Trust::strict(&[0, trust::us()]);
        let findings = self.examine(&self.path("conf/SupervisorRegistry.xml"), &trust);
        self.texts(&findings)
    }

    fn texts(&self, findings: &[Finding]) -> Vec<String> {
        let root = format!("{}/", self.root.path().display());
        let text = |finding: &Finding| {
            format!("{:?}: {}", finding.weight, finding.to_string().replace(&root, ""))
        };
        findings.iter().map(text).collect()
    }
}

#[test]
fn what_is_ours_below_a_shared_folder_is_nothing_to_tell() {
    // The test's own folder stands in /tmp, which has the sticky bit.
    assert_eq!(Installation::new().told(), [""; 0]);
}

#[test]
fn who_may_write_to_the_registry_or_its_folders_is_refused() {
    let place = Installation::new();
    place.mode("conf/SupervisorRegistry.xml", 0o666);
    assert_eq!(
        place.told(),
        ["Refusal: the registry conf/SupervisorRegistry.xml: everybody may write to it (mode \
          0666); do: chmod o-w conf/SupervisorRegistry.xml"]
    );
    place.mode("conf/SupervisorRegistry.xml", 0o644).mode("conf", 0o777);
    assert_eq!(
        place.told(),
        ["Refusal: the registry conf/SupervisorRegistry.xml: conf: everybody may write to it \
          (mode 0777); do: chmod o-w conf"]
    );
    // Told once, though everything else stands below it too.
    place.mode("conf", 0o755).mode("", 0o757);
    let told = place.told();
    assert!(told.len() == 1 && told[0].starts_with("Refusal: the registry"), "{told:?}");
}

#[test]
fn a_link_leads_to_what_is_looked_at() {
    let place = Installation::new();
    fs::create_dir(place.path("elsewhere")).expect("made");
    fs::rename(place.path("conf/SupervisorRegistry.xml"), place.path("elsewhere/R.xml"))
        .expect("moved");
    symlink("../bin/../elsewhere/R.xml", place.path("conf/SupervisorRegistry.xml")).expect("made");
    assert_eq!(place.told(), [""; 0]);
    place.mode("elsewhere", 0o777);
    let told = place.told();
    assert!(told.len() == 1 && told[0].contains(": elsewhere: everybody"), "{told:?}");
    // A link to itself ends the way; the registry cannot be read then anyway.
    symlink("loop", place.path("loop")).expect("made");
    assert_eq!(Walk::new(&Trust::strict(&[0, trust::us()])).to(&place.path("loop/x")), []);
}

#[test]
fn a_runtime_folder_is_taken_back_only_while_it_is_empty() {
    let place = Installation::new();
    fs::create_dir(place.path("temp")).expect("made");
    place.mode("temp", 0o777);
    assert_eq!(place.told(), [""; 0], "an empty volume");
    fs::write(place.path("temp/journal"), "").expect("written");
    place.mode("temp/journal", 0o600);
    assert_eq!(
        place.told(),
        ["Refusal: the runtime folder temp: everybody may write to it (mode 0777); do: chmod o-w \
          temp"]
    );
    // What is believed must not be another's, nor lead elsewhere.
    place.mode("temp", 0o755).mode("temp/journal", 0o602);
    symlink("/etc/passwd", place.path("temp/supervisor.lock")).expect("made");
    assert_eq!(
        place.told(),
        [
            "Refusal: the runtime folder temp/journal: everybody may write to it (mode 0602); do: \
             chmod o-w temp/journal",
            "Refusal: the runtime folder temp/supervisor.lock: it is a symbolic link where a file \
             of ours belongs; do: rm temp/supervisor.lock"
        ]
    );
}

#[test]
fn programs_and_logs_are_warned_of() {
    let place = Installation::new();
    place.mode("bin/ps", 0o777).mode("work", 0o777).mode("logs", 0o777);
    assert_eq!(
        place.told(),
        [
            "Warning: the log folder logs: everybody may write to it (mode 0777); do: chmod o-w \
             logs",
            "Warning: the program of ps, bin/ps: everybody may write to it (mode 0777); do: chmod \
             o-w bin/ps",
            "Warning: the working folder of ps, work: everybody may write to it (mode 0777); do: \
             chmod o-w work"
        ]
    );
}

#[test]
fn whose_it_is_counts() {
    let place = Installation::new();
    let file = place.path("conf/SupervisorRegistry.xml");
    // A user of whom nothing here is, so everything is a stranger's.
    let strict = Trust::strict(&[4_294_000_000]);
    let findings = place.examine(&file, &strict);
    let of_file: Vec<_> = findings.iter().filter(|finding| finding.open == file).collect();
    let [finding] = of_file.as_slice() else { panic!("{findings:?}") };
    assert_eq!(finding.weight, Weight::Refusal);
    assert_eq!(finding.why, format!("it belongs to {}", trust::called(trust::us())));
}

#[test]
fn the_environment_names_who_is_trusted() {
    let trust = |value: &str| {
        Trust::of(trust::us(), &[(VARIABLE.to_owned(), value.to_owned())].into_iter().collect())
    };
    for value in ["", "no-such-user-here"] {
        assert!(!trust(value).trusts(4711) && trust(value).trusts(trust::us()), "{value}");
        assert_eq!(trust(value).enforced(), trust::us() == 0);
    }
    assert!(trust("root, 4711").trusts(4711));
    assert!(!trust("4712,everybody").enforced());
}

#[test]
fn the_refusal_says_what_to_do_and_warnings_refuse_nothing() {
    let place = Installation::new();
    place.mode("conf", 0o777).mode("logs", 0o777);
    let trust = Trust::strict(&[0, trust::us()]);
    let findings = place.examine(&place.path("conf/SupervisorRegistry.xml"), &trust);
    let text = refusal(&findings, &trust).expect("refused");
    assert!(text.contains("chmod o-w") && text.contains("S7_TRUST="), "{text}");
    assert!(!text.contains("log folder"), "{text}");
    place.mode("conf", 0o755);
    let findings = place.examine(&place.path("conf/SupervisorRegistry.xml"), &trust);
    assert_eq!((findings.len(), refusal(&findings, &trust)), (1, None));
}
