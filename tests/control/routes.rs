//! Every route: its status, its JSON, and what the engine is asked.

use s7supervisor::{
    model::{RunId, Via},
    runtime::Targets,
    wire::Verb,
};
use serde_json::json;

use crate::{
    engine::{RUN, Seen},
    served::serve,
};

#[tokio::test]
async fn what_is_can_be_asked() {
    let served = serve();
    let status = served.ask("GET", "/v1/status").await;
    assert_eq!((status.status(), status.header("content-type")), (200, Some("application/json")));
    assert_eq!(status.header("server"), Some("s7supervisor/0.1.0"));
    let json = status.json();
    assert_eq!(json["supervisor"]["registry"], "/conf/SupervisorRegistry.xml");
    let ids: Vec<_> = json["components"].as_array().expect("a list").iter().collect();
    assert_eq!(
        ids.iter().map(|c| c["id"].as_str()).collect::<Option<Vec<_>>>(),
        Some(vec!["is", "ps", "svg"])
    );
    assert_eq!(ids[0]["state"], "running");

    let one = served.ask("GET", "/v1/components/ps").await;
    assert_eq!((one.status(), &one.json()["id"]), (200, &json!("ps")));
    let why = served.ask("GET", "/v1/components/ps/explain").await;
    assert_eq!((why.status(), &why.json()["summary"]), (200, &json!("running")));
    let details = served.ask("GET", "/v1/components/ps/details").await;
    assert_eq!((details.status(), &details.json()["id"]), (200, &json!("ps")));
    let path = "/v1/components/ps/history?from=2026-11-22T10:00:00Z&to=now&step=10";
    let history = served.ask("GET", path).await.json();
    assert_eq!(
        (&history["from"], &history["step_s"]),
        (&json!("2026-11-22T10:00:00Z"), &json!(10.0))
    );
    for wrong in ["step=0", "step=x", "from=soon", "from=-1m&to=-2m", "form=-1m"] {
        let path = format!("/v1/components/ps/history?{wrong}");
        assert_eq!(served.ask("GET", &path).await.status(), 400, "{wrong}");
    }
    let metrics = served.ask("GET", "/metrics").await;
    let content = Some("text/plain; version=0.0.4; charset=utf-8");
    assert_eq!((metrics.status(), metrics.header("content-type")), (200, content));
    let description = served.ask("GET", "/v1/openapi.json").await;
    assert_eq!((description.status(), &description.json()["openapi"]), (200, &json!("3.1.0")));
}

#[tokio::test]
async fn each_verb_reaches_the_engine_for_one_some_and_all() {
    let mut served = serve();
    let verbs = [
        ("start", Verb::Start),
        ("stop", Verb::Stop),
        ("restart", Verb::Restart),
        ("kill", Verb::Kill),
    ];
    for (operation, (word, verb)) in (1..).zip(verbs) {
        let heard = served.ask("POST", &format!("/v1/components/is/{word}")).await;
        assert_eq!(heard.status(), 202);
        let location = format!("/v1/operations/{operation}");
        assert_eq!(heard.header("location"), Some(location.as_str()));
        assert_eq!(heard.json(), json!({"result": "applied", "operation": operation}));
        let seen = served.engine.command().await;
        assert_eq!((seen.verb, seen.targets), (verb, Targets::Ids(vec!["is".into()])));
    }
    for (word, verb) in verbs {
        let heard = served.ask("POST", &format!("/v1/{word}?id=svg&id=is")).await;
        assert_eq!(heard.status(), 202);
        let seen = served.engine.command().await;
        assert_eq!(
            (seen.verb, seen.targets),
            (verb, Targets::Ids(vec!["svg".into(), "is".into()]))
        );
    }
    for (word, verb) in [("start", Verb::Start), ("stop", Verb::Stop)] {
        assert_eq!(served.ask("POST", &format!("/v1/{word}")).await.status(), 202);
        let seen = served.engine.command().await;
        assert_eq!((seen.verb, seen.targets), (verb, Targets::All));
    }
    let kill = served.ask("POST", "/v1/kill").await;
    assert_eq!((kill.status(), kill.code()), (400, "bad_request".into()));
    assert!(served.engine.untouched(), "a kill without ids kills nothing");
}

#[tokio::test]
async fn restart_of_all_and_shutdown_are_for_the_supervisor_itself() {
    let mut served = serve();
    for (path, expected) in [("/v1/restart", true), ("/v1/shutdown", false)] {
        let heard = served.ask_with("POST", path, &["X-S7-Client: cli"]).await;
        assert_eq!(heard.status(), 202, "{path}");
        match served.engine.seen().await {
            Seen::Shutdown { restart, origin } => {
                assert_eq!(restart, expected);
                assert!(origin.ends_with(" (cli)"), "{origin}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_reload_may_only_tell() {
    let mut served = serve();
    let told = served.ask("POST", "/v1/reload?dry_run=true").await;
    assert_eq!((told.status(), &told.json()["generation"]), (200, &json!(2)));
    assert!(matches!(served.engine.seen().await, Seen::Reload { dry_run: true }));
    let done = served.ask("POST", "/v1/reload").await;
    assert_eq!((done.status(), done.header("location")), (202, Some("/v1/operations/1")));
    assert!(matches!(served.engine.seen().await, Seen::Reload { dry_run: false }));
    let unclear = served.ask("POST", "/v1/reload?dry_run=perhaps").await;
    assert_eq!((unclear.status(), unclear.code()), (400, "bad_request".into()));
    assert!(served.engine.untouched(), "an unclear reload does nothing");
}

#[tokio::test]
async fn redundant_denied_unknown_and_ended_are_told_apart() {
    let served = serve();
    let redundant = served.ask("POST", "/v1/components/ps/start").await;
    assert_eq!((redundant.status(), redundant.json()), (200, json!({"result": "redundant"})));
    let denied = served.ask("POST", "/v1/components/svg/stop").await;
    assert_eq!((denied.status(), denied.code()), (409, "denied".into()));
    assert_eq!(denied.json()["detail"], "svg is held by root");
    let unknown = served.ask("POST", "/v1/components/iss/stop").await;
    assert_eq!((unknown.status(), unknown.code()), (404, "unknown_component".into()));
    assert_eq!(unknown.json()["nearest"], "is");
    let operation = served.ask("GET", "/v1/operations/99").await;
    assert_eq!((operation.status(), operation.code()), (404, "unknown_operation".into()));
    let no_number = served.ask("GET", "/v1/operations/last").await;
    assert_eq!((no_number.status(), no_number.code()), (404, "unknown_operation".into()));
}

#[tokio::test]
async fn if_match_binds_a_command_to_a_run() {
    let mut served = serve();
    let run = format!("If-Match: \"{RUN}\"");
    assert_eq!(served.ask_with("POST", "/v1/components/is/kill", &[&run]).await.status(), 202);
    assert_eq!(served.engine.command().await.if_run, Some(RunId(RUN)));
    let ended = served.ask_with("POST", "/v1/components/is/kill", &["If-Match: 6"]).await;
    assert_eq!((ended.status(), ended.code()), (412, "run_ended".into()));
    served.engine.command().await;
    let all = served.ask_with("POST", "/v1/stop", &[&run]).await;
    assert_eq!((all.status(), all.code()), (400, "bad_request".into()));
    assert!(served.engine.untouched(), "a run of nothing in particular stops nothing");
}

#[tokio::test]
async fn a_wait_ends_with_the_operation_or_with_its_time() {
    let mut served = serve();
    let over = served.ask("POST", "/v1/components/is/restart?wait=0.05").await;
    assert_eq!((over.status(), over.header("location")), (202, Some("/v1/operations/1")));
    assert_eq!(over.json()["state"], "pending");
    served.engine.command().await;
    assert!(matches!(served.engine.seen().await, Seen::Waiting));

    let (ended, ()) = tokio::join!(served_wait(&served.socket), async {
        assert!(matches!(served.engine.seen().await, Seen::Waiting));
        served.engine.finish(1);
    });
    assert_eq!((ended.status(), &ended.json()["state"]), (200, &json!("done")));

    let stands = served.ask("GET", "/v1/operations/1").await;
    assert_eq!((stands.status(), &stands.json()["state"]), (200, &json!("done")));
}

async fn served_wait(socket: &std::path::Path) -> crate::served::Heard {
    let stream = tokio::net::UnixStream::connect(socket).await.expect("it listens");
    let request = crate::served::head("GET", "/v1/operations/1?wait=60", &["Host: localhost"]);
    crate::served::talk(stream, &request).await
}

#[tokio::test]
async fn the_probes_say_what_is_not_ready() {
    let served = serve();
    for path in ["/healthz", "/readyz"] {
        served.engine.ready(true);
        let well = served.ask("GET", path).await;
        assert_eq!((well.status(), well.json()), (200, json!({"ready": true, "not_ready": []})));
        served.engine.ready(false);
        let ill = served.ask("GET", path).await;
        assert_eq!((ill.status(), ill.json()), (503, json!({"ready": false, "not_ready": ["ps"]})));
    }
    assert_eq!(served.ask("GET", "/livez").await.status(), 200, "the Supervisor itself lives");
}

#[tokio::test]
async fn mistakes_are_answered_with_problems() {
    let mut served = serve();
    for (method, path, status, code) in [
        ("GET", "/", 404, "unknown_path"),
        ("GET", "/v2/status", 404, "unknown_path"),
        ("POST", "/v1/components/is/pause", 404, "unknown_path"),
        ("GET", "/v1/stop", 405, "method_not_allowed"),
        ("DELETE", "/v1/status", 405, "method_not_allowed"),
        ("POST", "/v1/components/is/stop?wait=soon", 400, "bad_request"),
        ("POST", "/v1/components/is/stop?wiat=5", 400, "bad_request"),
        ("POST", "/v1/stop?wait=1&wait=2", 400, "bad_request"),
        ("POST", "/v1/components/%ff/stop", 400, "bad_request"),
        ("GET", "/v1/status?verbose", 400, "bad_request"),
    ] {
        let heard = served.ask(method, path).await;
        assert_eq!((heard.status(), heard.code().as_str()), (status, code), "{method} {path}");
        assert_eq!(heard.header("server"), Some("s7supervisor/0.1.0"), "{method} {path}");
    }
    assert_eq!(served.ask("GET", "/v1/stop").await.header("allow"), Some("POST"));
    assert!(served.engine.untouched(), "no mistake reaches the engine");
}

#[tokio::test]
async fn the_kernel_says_who_asks_over_the_socket() {
    let mut served = serve();
    let headers = ["X-S7-Client: console", "X-S7-Ssh: 10.0.0.9 4711 10.0.0.1 22"];
    served.ask_with("POST", "/v1/stop", &headers).await;
    let origin = served.engine.command().await.origin;
    assert_eq!(origin.client.as_deref(), Some("console"));
    assert_eq!(origin.ssh.as_deref(), Some("10.0.0.9 4711 10.0.0.1 22"));
    let Via::Socket { uid, pid, user, .. } = origin.via else { panic!("{origin:?}") };
    assert_eq!(user.as_deref() == Some("root"), uid == 0);
    assert_eq!(uid, rustix::process::geteuid().as_raw());
    assert_eq!(pid, i32::try_from(std::process::id()).ok());
}
