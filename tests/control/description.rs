//! `docs/openapi.json` is what the code says, and the code does what it says.

use std::{env, fs, path::Path};

use s7supervisor::control;
use serde_json::Value;

use crate::served::serve;

#[test]
fn the_checked_in_description_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let generated = control::openapi();
    if env::var_os("UPDATE_OPENAPI").is_some() {
        fs::write(&path, generated).expect("docs/ can be written");
    }
    let checked_in = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked_in == generated,
        "docs/openapi.json is not what the code describes; look at the difference after\n    \
         UPDATE_OPENAPI=1 cargo test --test control description\nand check it in"
    );
}

#[tokio::test]
async fn every_path_that_is_described_is_there() {
    let served = serve();
    let document: Value = serde_json::from_str(control::openapi()).expect("JSON");
    // Streams end with the engine.
    served.engine.close();
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            for verb in ["start", "stop", "restart", "kill"] {
                let path = path.replace("{verb}", verb).replace("{id}", "is").replace("{n}", "1");
                let heard = served.ask(&method.to_uppercase(), &path).await;
                assert!(
                    heard.status() < 400
                        || !matches!(&*heard.code(), "unknown_path" | "method_not_allowed"),
                    "{method} {path}: {heard:?}"
                );
                asked += 1;
            }
        }
    }
    assert!(asked >= 12 * 4, "{asked} questions");
}

#[tokio::test]
async fn the_description_names_only_what_it_describes() {
    let text = control::openapi();
    let document: Value = serde_json::from_str(text).expect("JSON");
    for reference in text.split("\"$ref\": \"#").skip(1) {
        let pointer = reference.split('"').next().expect("a closing quote");
        assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
    }
}
