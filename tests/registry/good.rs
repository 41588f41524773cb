//! Registries that load, and what they mean.

use std::{fs, path::Path, time::Duration};

use s7supervisor::registry::{Check, LoadError, Sources, StopSignal, load as load_file};

use super::support::{INSTALL, component, files, load, problems, read, sources};

#[test]
fn every_good_registry_loads_without_a_word_and_means_this() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for (name, path) in files("good") {
            let loaded = read(&fs::read(&path).expect("a readable file"))
                .unwrap_or_else(|problems| panic!("{name}:\n{}", problems.render(false, 100)));
            assert!(loaded.warnings.is_empty(), "{name}:\n{}", loaded.warnings);
            insta::assert_debug_snapshot!(format!("good-{name}"), loaded.registry);
        }
    });
}

#[test]
fn two_readings_of_a_file_are_equal_and_a_change_is_not() {
    for (name, path) in files("good") {
        let bytes = fs::read(&path).expect("a readable file");
        let first = read(&bytes).expect("good").registry;
        assert_eq!(first, read(&bytes).expect("good").registry, "{name}");
    }
    assert_ne!(
        component("", "<executable>/bin/a</executable>"),
        component("", "<executable>/bin/b</executable>")
    );
}

#[test]
fn the_documented_launches_have_their_parts_in_the_right_order() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/registry/good/image-serving.xml");
    let environment = sources(&[], &[("JAVA_HOME", "/usr/lib/jvm/17")]);
    let loaded = load_file(&path, Path::new(INSTALL), &environment).expect("a good file");
    let [image_server, svg, platform_server] = loaded.registry.components.as_slice() else {
        panic!("three components");
    };
    assert_eq!(image_server.command_line(), "/opt/ImageServing/bin/ImageServer");
    assert!(
        svg.command_line()
            .starts_with("/usr/lib/jvm/17/bin/java -XX:+IgnoreUnrecognizedVMOptions ")
    );
    assert!(svg.command_line().ends_with(
        " -Xmx200m -XX:MaxPermSize=200m -Dcom.sun.management.jmxremote.port=9998 -jar lib/SvgRender.jar"
    ));
    let arguments = &platform_server.arguments;
    let place = |wanted: &str| {
        arguments.iter().position(|argument| argument.starts_with(wanted)).expect(wanted)
    };
    let in_order = [
        "-XX:+IgnoreUnrecognizedVMOptions",
        "-Dcom.sun.management.jmxremote.host=127.0.0.1",
        "-Dscene7.home=/opt/ImageServing",
        "-classpath",
        "/opt/ImageServing/tomcat/bin/bootstrap.jar:/opt/ImageServing/tomcat/bin/tomcat-juli.jar",
        "-Dcatalina.base=/opt/ImageServing/tomcat",
        "-Dcatalina.home=/opt/ImageServing/tomcat",
        "-Xmx512m",
        "-XX:MaxPermSize=200m",
        "-Dcom.sun.management.jmxremote.port=9999",
        "org.apache.catalina.startup.Bootstrap",
        "start",
    ];
    assert!(in_order.map(place).is_sorted(), "{arguments:#?}");
    assert_eq!(platform_server.working_directory, Path::new(INSTALL));
}

#[test]
fn a_bare_name_is_left_to_path_and_a_path_is_made_absolute() {
    let run = |program: &str| {
        let inside = format!("<executable>{program}</executable>");
        component("", &inside).executable.display().to_string()
    };
    assert_eq!(run("java"), "java");
    assert_eq!(run("bin/java"), "/opt/ImageServing/bin/java");
    assert_eq!(run("./java"), "/opt/ImageServing/./java");
    assert_eq!(run("/bin/java"), "/bin/java");
}

#[test]
fn the_servers_own_element_counts_whole() {
    let profile = "<profiles><profile id=\"P\"><executable>/bin/p</executable>\
        <restart delay=\"7\" maxRestarts=\"3\"/><stopSignal>INT</stopSignal>\
        <limits><memory>1G</memory><nice>5</nice></limits></profile></profiles>";
    let merged = component(
        profile,
        "<profile ref=\"P\"/><restart maxRestarts=\"4\"/><limits><nice>6</nice></limits>",
    );
    assert_eq!(merged.restart.max_restarts, Some(4));
    assert_eq!(merged.restart.delay, Duration::from_millis(100), "not the profile's");
    assert_eq!((merged.limits.memory, merged.limits.nice), (None, Some(6)));
    assert_eq!(merged.stop.signal, StopSignal::Int);
}

#[test]
fn a_servers_stop_signal_is_not_silenced_by_a_profiles_command() {
    let profile = "<profiles><profile id=\"P\"><executable>/bin/p</executable>\
        <stopCommand><argument>bin/stop</argument></stopCommand></profile></profiles>";
    let own = component(profile, "<profile ref=\"P\"/><stopSignal>QUIT</stopSignal>");
    assert_eq!((own.stop.signal, &own.stop.command), (StopSignal::Quit, &None));
    let inherited = component(profile, "<profile ref=\"P\"/>");
    assert_eq!(inherited.stop.command, Some(vec!["/opt/ImageServing/bin/stop".to_owned()]));
}

#[test]
fn a_profile_reached_twice_adds_its_arguments_once() {
    let profiles = "<profiles>\
        <profile id=\"Base\"><executable>/bin/b</executable><arguments><argument>base</argument></arguments></profile>\
        <profile id=\"L\"><extends ref=\"Base\"/><arguments><argument>l</argument></arguments></profile>\
        <profile id=\"R\"><extends ref=\"Base\"/><arguments><argument>r</argument></arguments></profile>\
        </profiles>";
    let merged =
        component(profiles, "<profile ref=\"L\"/><profile ref=\"R\"/><profile ref=\"Base\"/>");
    assert_eq!(merged.arguments, ["base", "l", "r"]);
}

#[test]
fn a_long_first_delay_is_not_cut_by_the_default_maximum() {
    let slow = component("", "<executable>/bin/a</executable><restart delay=\"300\"/>");
    assert_eq!(slow.restart.max_delay, Duration::from_mins(5));
}

#[test]
fn checks_have_sensible_defaults() {
    let with = |inside: &str| component("", &format!("<executable>/bin/a</executable>{inside}"));
    let ready = with("<ready><tcp port=\"80\"/></ready>").ready.expect("a check");
    assert_eq!(ready.check, Check::Tcp { host: "127.0.0.1".to_owned(), port: 80 });
    assert_eq!((ready.interval, ready.timeout), (Duration::from_secs(1), Duration::from_secs(2)));
    assert_eq!((ready.failures, ready.successes), (30, 1));
    let health = with("<health><http url=\"http://[::1]:80\"/></health>").health.expect("a check");
    assert_eq!((health.interval, health.failures), (Duration::from_secs(10), 3));
    let waits = with("<ready><notify/></ready>").ready.expect("a check");
    assert_eq!(waits.timeout, Duration::from_mins(1), "the whole wait");
}

#[test]
fn what_is_suspicious_is_said_and_changes_nothing() {
    let text = r#"<supervisor><servers>
        <server id="a"><executable>/bin/a</executable><dependsOn ref="b"/></server>
        <server id="b"><executable>/bin/b</executable><enabled>false</enabled>
          <output><log>logs/a.log</log></output></server>
        <server id="c"><executable>/bin/c</executable>
          <stopSignal>INT</stopSignal><stopCommand><argument>x</argument></stopCommand></server>
        </servers></supervisor>"#;
    let loaded = load(text);
    assert_eq!(loaded.registry.components.len(), 3);
    insta::assert_snapshot!(loaded.warnings.to_string(), @"
    SupervisorRegistry.xml:2:71: warning: a depends on b, which is not enabled (enable b, or set <enabled>false</enabled> for a too)
    SupervisorRegistry.xml:3:21: warning: b writes to the same log as a (give each its own <output><log>)
    SupervisorRegistry.xml:6:12: warning: <stopSignal> has no effect beside <stopCommand> (the command is run instead of the signal: remove one of the two)
    ");
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let absent = folder.path().join("absent.xml");
    let read = |path: &Path| load_file(path, Path::new(INSTALL), &Sources::default());
    let error = read(&absent).expect_err("absent");
    assert!(matches!(error, LoadError::Unreadable { .. }));
    assert!(error.to_string().contains("absent.xml: No such file"), "{error}");
    let large = folder.path().join("large.xml");
    fs::File::create(&large).and_then(|file| file.set_len((16 << 20) + 1)).expect("a sparse file");
    let error = read(&large).expect_err("too large");
    assert!(matches!(error, LoadError::TooLarge { .. }), "{error}");
    assert!(matches!(read(folder.path()), Err(LoadError::Unreadable { .. })), "a folder");
}

#[test]
fn a_chain_as_long_as_the_registry_is_followed() {
    let server = |index: usize| {
        let next = (index + 1) % 5_000;
        format!(
            "<server id=\"s{index}\"><executable>x</executable><dependsOn ref=\"s{next}\"/></server>"
        )
    };
    let servers: String = (0..5_000).map(server).collect();
    let text = format!("<supervisor><servers>{servers}</servers></supervisor>");
    let told = problems(&text, &Sources::default());
    assert!(told.contains("components depend on each other: s0 -> s1 -> "), "no cycle told");
    assert!(told.contains(" -> (4985 more) -> ") && told.contains("-> s4999 -> s0"), "{told}");
}
