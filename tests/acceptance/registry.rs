//! Registries at the command line: what is read, and what is said about it.

use crate::support::{Place, Registry, Server};

/// The structure of the documented file, tokens and all: three servers of profiles alone.
fn documented() -> Registry {
    let java = |id: &str, kind: &str, heap: &str, port: u16| {
        Server::bare(id).with(&format!(
            "<description>{id} of the model</description><profile ref=\"Java32\"/>{kind}\
             <arguments><argument>-XmxSV::{heap}</argument><argument>-XX:MaxPermSize=200m</argument>\
             <argument>-Dcom.sun.management.jmxremote.port={port}</argument></arguments>"
        ))
    };
    let common =
        |server: Server, priority| server.priority(priority).start_delay(5.0).stop_timeout(60.0);
    Registry::of([
        common(Server::bare("is").with("<profile ref=\"SV::ImageServerMode\"/>"), 1),
        common(java("svg", "<profile ref=\"SVG\"/>", "SvgHeapSize", 9998), 1),
        common(
            java(
                "ps",
                "<profile ref=\"PlatformServer\"/><profile ref=\"Tomcat\"/>",
                "PsHeapSize",
                9999,
            ),
            2,
        ),
    ])
    .config(
        "<tcpport>9910</tcpport><log>SV::log</log><temp>SV::temp</temp>\
         <tracelevel>SV::tracelevel</tracelevel><tracestatsinterval>600</tracestatsinterval>",
    )
}

#[test]
fn the_documented_structure_passes_and_shows_its_plan() {
    let place = Place::new(&documented());
    let checked = place.cli("check");
    checked.assert_code(0);
    let plan = &checked.stdout;
    for word in [
        "bin/ImageServer",
        "-Xmx200m",
        "-jar lib/SvgRender.jar",
        "-Xmx512m",
        "-Dcom.sun.management.jmxremote.port=9999",
        "org.apache.catalina.startup.Bootstrap start",
    ] {
        assert!(plan.contains(word), "{word}: {plan}");
    }
    assert!(!plan.contains("SV::") && !plan.contains("TC::"), "every token has its value: {plan}");
    // The guard against old options stands before them, the main class after everything.
    let at = |word: &str| plan.rfind(word).unwrap_or_else(|| panic!("{word}: {plan}"));
    assert!(at("-XX:+IgnoreUnrecognizedVMOptions") < at("-XX:MaxPermSize=200m"), "{plan}");
    assert!(at("-Xmx512m") < at("org.apache.catalina.startup.Bootstrap start"), "{plan}");
    assert!(at("-jar lib/SvgRender.jar") < at("-Xmx512m"), "the order of the start: {plan}");
    assert!(!place.path("temp/supervisor.sock").exists(), "a check starts nothing");
    place.assert_nothing_runs();

    let set = place.cli("check --set SV::PsHeapSize=3g --set SV::ImageServerMode=ImageServer64");
    set.assert_code(0);
    assert!(set.stdout.contains("-Xmx3g") && set.stdout.contains("bin64/ImageServer"), "{set:?}");
}

#[test]
fn every_problem_is_told_in_one_pass() {
    let place = Place::with_text(
        "<supervisor>\n  <servers>\n    <server id=\"a b\"><executable>/bin/true</executable></server>\n    \
         <server id=\"c\"><profile ref=\"Tomcatt\"/></server>\n    \
         <server id=\"d\"><executable>/bin/true</executable><dependsOn ref=\"e\"/></server>\n    \
         <server id=\"e\"><executable>/bin/true</executable><dependsOn ref=\"d\"/></server>\n    \
         <server id=\"f\"/>\n  </servers>\n</supervisor>\n",
    );
    let checked = place.cli("check");
    checked.assert_code(78);
    for word in ["a b", "Tomcatt", "Tomcat", "d", "e", "executable"] {
        assert!(checked.stderr.contains(word), "{word}: {}", checked.stderr);
    }
    for line in [3, 4, 7] {
        assert!(
            checked.stderr.contains(&format!("SupervisorRegistry.xml:{line}:")),
            "line {line}: {}",
            checked.stderr
        );
    }
}

#[test]
fn an_unknown_element_is_a_warning_until_one_asks_for_strictness() {
    let place =
        Place::new(&Registry::of([Server::sleep("ps").with("<startPrioritty>1</startPrioritty>")]));
    let checked = place.cli("check");
    checked.assert_code(0);
    assert!(
        checked.stderr.contains("startPrioritty") && checked.stderr.contains("startPriority"),
        "{checked:?}"
    );
    place.cli("check --strict").assert_code(78);
    let supervisor = place.start();
    place.await_state("ps", "running");
    supervisor.stop();
}

#[test]
fn a_registry_that_is_missing_or_dangerous_is_refused() {
    let place = Place::new(&Registry::of([Server::sleep("ps")]));
    let missing = place.cli("-r conf/NoSuchFile.xml check");
    assert!(!matches!(missing.code, Some(0) | None), "{missing:?}");
    assert!(missing.stderr.contains("NoSuchFile.xml"), "{missing:?}");

    place.write(
        "conf/SupervisorRegistry.xml",
        "<!DOCTYPE supervisor [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]>\n<supervisor><servers/></supervisor>",
    );
    let refused = place.cli("check");
    refused.assert_code(78);
    assert!(refused.stderr.contains("DOCTYPE") || refused.stderr.contains("DTD"), "{refused:?}");
}
