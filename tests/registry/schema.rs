//! The schema against an independent validator: what we accept without warnings is valid.
//! That schema and program know the same names is tested beside the table of names.

#![cfg(feature = "real-servers")]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::support::files;

fn xmllint(file: &Path) -> (bool, String) {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let output = Command::new("xmllint")
        .args(["--noout", "--nonet", "--schema"])
        .arg(assets.join("SupervisorRegistry.xsd"))
        .arg(file)
        .output()
        .expect("xmllint of Debian's libxml2-utils");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn xmllint_accepts_every_registry_that_we_accept_without_warnings() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/SupervisorRegistry.xml");
    let mut all: Vec<PathBuf> = files("good").into_iter().map(|(_, path)| path).collect();
    all.push(model);
    for file in all {
        let (valid, said) = xmllint(&file);
        assert!(valid, "{said}");
    }
}

/// The schema is not merely lax: these are wrong by it too.
#[test]
fn xmllint_refuses_what_the_schema_can_see() {
    for name in
        ["duplicate-id", "many-at-once", "no-executable", "twice", "wrong-root", "wrong-words"]
    {
        let file = format!("{}/tests/registry/bad/{name}.xml", env!("CARGO_MANIFEST_DIR"));
        assert!(!xmllint(Path::new(&file)).0, "{name}");
    }
}
