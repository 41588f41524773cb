//! The Supervisor's own trace log, over the API.

use s7supervisor::{logs::trace::Trace, registry::TraceLevel};

use crate::{
    lines::Lines,
    served::{BOUND, serve},
};

#[tokio::test]
async fn its_own_log_is_told_in_parts_and_goes_on() {
    let served = serve();
    let trace = Trace::new(TraceLevel(3), false);
    served.engine.traces(&trace);
    let tells = |text: &str| {
        tracing::subscriber::with_default(trace.subscriber(), || {
            tracing::warn!(target: "s7supervisor::process", pids = 3, "{text}");
        });
        assert!(served.engine.sync(BOUND));
    };
    tells("first");
    tells("second");
    let mut follower = Lines::ask(&served, "/v1/supervisor/logs?tail=1&follow=true", &[]).await;
    let second = follower.entry().await;
    assert_eq!(second["text"], "second pids=3");
    assert_eq!((&second["level"], &second["target"]), (&"warn".into(), &"process".into()));
    assert!(second["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{second}");
    tells("third");
    let third = follower.entry().await;
    assert_eq!(third["text"], "third pids=3");
    // Whoever comes back gets what it missed, once.
    tells("fourth");
    let path = format!("/v1/supervisor/logs?after={}", second["seq"]);
    let heard = served.ask("GET", &path).await;
    assert_eq!(heard.status(), 200);
    let texts: Vec<_> = heard.0.lines().filter(|line| line.contains("pids=3")).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts[0].contains("third") && texts[1].contains("fourth"), "{texts:?}");
    assert!(third["seq"].as_u64() > second["seq"].as_u64());
    // A number of a process whose clock was ahead: everything, not nothing.
    let heard = served.ask("GET", "/v1/supervisor/logs?after=9007199254740000").await;
    assert!(heard.0.contains("first"), "{heard:?}");
    assert_eq!(served.ask("GET", "/v1/supervisor/logs?since=-1h").await.status(), 400);
    assert_eq!(follower.entry().await["text"], "fourth pids=3");
    served.engine.close();
    assert_eq!(follower.next("{").await, None);
}
