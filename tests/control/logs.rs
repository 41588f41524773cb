//! What components wrote, over the API.

use serde_json::Value;

use crate::{
    engine::Seen,
    lines::Lines,
    served::{Heard, serve},
};

/// The JSON lines of an answer that has ended.
fn lines(heard: &Heard) -> Vec<Value> {
    assert_eq!(heard.status(), 200, "{heard:?}");
    assert_eq!(heard.header("content-type"), Some("application/x-ndjson"));
    let lines = heard.0.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn texts(lines: &[Value]) -> Vec<&str> {
    lines.iter().filter_map(|line| line["text"].as_str()).collect()
}

#[tokio::test]
async fn a_log_is_read_as_its_reader_wishes() {
    let served = serve();
    served.engine.writes("ps", "");
    served.engine.begins("ps");
    served.engine.writes("ps", "GET /a 200\nGET /b 500\nGET /c 200\n");
    let all = lines(&served.ask("GET", "/v1/components/ps/logs").await);
    assert_eq!(all[0]["kind"], "start");
    assert_eq!((all[0]["run"].as_u64(), all[0]["pid"].as_u64()), (Some(7), Some(812)));
    assert_eq!(texts(&all), ["GET /a 200", "GET /b 500", "GET /c 200"]);
    assert_eq!((&all[1]["stream"], all[1]["run"].as_u64()), (&Value::from("out"), Some(7)));
    let numbers: Vec<_> = all.iter().map(|line| line["seq"].as_u64().expect("a number")).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");

    for (query, expected) in [
        ("tail=1", vec!["GET /c 200"]),
        ("tail=0", vec![]),
        ("grep=200", vec!["GET /a 200", "GET /c 200"]),
        ("grep=200%24&tail=1", vec!["GET /c 200"]),
        ("stream=err", vec![]),
        ("since=-1h&until=%2B1h", vec!["GET /a 200", "GET /b 500", "GET /c 200"]),
        ("since=%2B1h", vec![]),
        ("until=2020-01-01", vec![]),
        (&format!("after={}", numbers[2]), vec!["GET /c 200"]),
        (&format!("after={}", numbers[3]), vec![]),
    ] {
        let heard = served.ask("GET", &format!("/v1/components/ps/logs?{query}")).await;
        assert_eq!(texts(&lines(&heard)), expected, "{query}");
    }
}

#[tokio::test]
async fn several_logs_are_one_by_time_and_each_line_says_whose_it_is() {
    let served = serve();
    served.engine.writes("ps", "one\n");
    served.engine.writes("is", "two\n");
    served.engine.writes("ps", "three\n");
    let all = lines(&served.ask("GET", "/v1/logs").await);
    let told: Vec<_> = all.iter().map(|line| (&line["id"], &line["text"])).collect();
    let expected = [("ps", "one"), ("is", "two"), ("ps", "three")]
        .map(|(id, text)| (Value::from(id), Value::from(text)));
    assert_eq!(told, expected.iter().map(|(id, text)| (id, text)).collect::<Vec<_>>());
    let seq = &all[0]["seq"];
    let heard = served.ask("GET", &format!("/v1/logs?id=ps&after=ps:{seq}&after=is:5")).await;
    assert_eq!(texts(&lines(&heard)), ["three"]);
}

#[tokio::test]
async fn a_follower_gets_every_line_once_and_the_end_with_the_engine() {
    let served = serve();
    served.engine.writes("ps", "old\n");
    let mut follower = Lines::ask(&served, "/v1/logs?tail=1&follow=true", &[]).await;
    assert_eq!(follower.entry().await["text"], "old");
    for round in 0..50 {
        served.engine.writes("ps", &format!("line {round}\nand\n"));
        if round == 25 {
            // One that nobody had heard of.
            served.engine.writes("svg", "hello\n");
        }
    }
    let mut rounds = 0;
    while rounds < 50 {
        let entry = follower.entry().await;
        if entry["id"] == "svg" {
            assert_eq!(entry["text"], "hello");
            continue;
        }
        assert_eq!(entry["text"], format!("line {rounds}"));
        rounds += 1;
        let mut entry = follower.entry().await;
        while entry["id"] == "svg" {
            entry = follower.entry().await;
        }
        assert_eq!(entry["text"], "and");
    }
    served.engine.writes("ps", "the last\n");
    served.engine.close();
    assert_eq!(follower.entry().await["text"], "the last");
    assert_eq!(follower.next("{").await, None);
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused_with_what_could() {
    let served = serve();
    for (query, why) in [
        ("since=soon", "cannot use since: \\\"soon\\\" is no time: write -10m"),
        ("until=25:00", "cannot use until"),
        ("grep=%28", "cannot use grep: it is no regular expression"),
        ("grep=%28a%7B9999%7D%29%7B9999%7D", "cannot use grep"),
        ("stream=both", "write out or err"),
        ("tail=-1", "write a whole number"),
        ("after=x", "write the `seq` of an entry"),
        ("folow=true", "takes no parameter"),
    ] {
        for path in ["/v1/logs", "/v1/components/ps/logs"] {
            let heard = served.ask("GET", &format!("{path}?{query}")).await;
            assert_eq!((heard.status(), &*heard.code()), (400, "bad_request"), "{query}");
            assert!(heard.0.contains(why), "{query}: {heard:?}");
        }
    }
    for path in ["/v1/logs?id=si", "/v1/components/si/logs"] {
        let heard = served.ask("GET", path).await;
        assert_eq!((heard.status(), &*heard.code()), (404, "unknown_component"), "{path}");
        assert_eq!(heard.json()["nearest"], "is");
    }
}

#[tokio::test]
async fn files_are_opened_anew_for_whoever_may_change_something() {
    let mut served = serve();
    let heard = served.ask("POST", "/v1/reopen").await;
    assert_eq!(heard.status(), 204, "{heard:?}");
    assert!(matches!(served.engine.seen().await, Seen::Reopen));
}
