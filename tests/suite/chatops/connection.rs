//! Environments whose connections break in the middle of a command, or that accept and never respond.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lockstep_tests::cluster::PORT;

use crate::chatops::Room;
use crate::concurrency::PATIENCE;
use crate::database::cluster;
use crate::service_account::number;

/// What happens to traffic on a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// The first server response that contains this is lost, and everything after it.
    CutAt(&'static [u8]),
    /// The same, but new connections work.
    CutOnceAt(&'static [u8]),
    /// Connections are accepted and never answered; traffic in flight is lost.
    Silent,
    /// Connections are closed immediately, and nothing is connected.
    Closed,
}

/// A connection to the server that can be disturbed.
struct Line {
    port: u16,
    way: Arc<Mutex<Way>>,
    calls: Arc<Mutex<Vec<TcpStream>>>,
}

impl Line {
    fn lay() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let line = Self {
            port: listener.local_addr()?.port(),
            way: Arc::new(Mutex::new(Way::Open)),
            calls: Arc::default(),
        };
        let (way, calls) = (Arc::clone(&line.way), Arc::clone(&line.calls));
        let server = cluster()?.socket().join(format!(".s.PGSQL.{PORT}"));
        thread::spawn(move || {
            for call in listener.incoming().flatten() {
                let now = way.lock().map_or(Way::Closed, |way| *way);
                if now == Way::Closed {
                    continue;
                }
                let (Ok(kept), Ok(answers)) = (call.try_clone(), call.try_clone()) else {
                    continue;
                };
                if let Ok(mut calls) = calls.lock() {
                    calls.push(kept);
                }
                if now == Way::Silent {
                    continue;
                }
                let Ok(to_server) = UnixStream::connect(&server) else {
                    continue;
                };
                let Ok(from_server) = to_server.try_clone() else {
                    continue;
                };
                let (way, back) = (Arc::clone(&way), Arc::clone(&way));
                thread::spawn(move || {
                    pass(call, &to_server, &way);
                    let _ = to_server.shutdown(Shutdown::Both);
                });
                thread::spawn(move || {
                    pass(from_server, &answers, &back);
                    let _ = answers.shutdown(Shutdown::Both);
                });
            }
        });
        Ok(line)
    }

    fn url(&self, database: &str) -> String {
        format!(
            "host=127.0.0.1 port={} user=chatops dbname={database} sslmode=disable",
            self.port
        )
    }

    fn make(&self, way: Way) {
        if let Ok(mut now) = self.way.lock() {
            *now = way;
        }
        if way == Way::Closed
            && let Ok(mut calls) = self.calls.lock()
        {
            for call in calls.drain(..) {
                let _ = call.shutdown(Shutdown::Both);
            }
        }
    }
}

/// Forwards traffic until the line is cut.
fn pass(mut from: impl Read, mut to: impl Write, way: &Mutex<Way>) {
    let mut buffer = [0; 16_384];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let part = &buffer[..length];
        let Ok(mut way) = way.lock() else {
            return;
        };
        let has = |words: &[u8]| part.windows(words.len()).any(|it| it == words);
        match *way {
            Way::Silent => continue,
            Way::Closed => return,
            Way::CutAt(words) if has(words) => {
                *way = Way::Closed;
                return;
            }
            Way::CutOnceAt(words) if has(words) => {
                *way = Way::Open;
                return;
            }
            _ => {}
        }
        drop(way);
        if to.write_all(part).is_err() {
            return;
        }
    }
}

/// The result of a function that changes something.
const ANSWER: &[u8] = b"\"was_done\"";

/// The server's response to a commit. Requests never end like this.
const COMMITTED: &[u8] = b"COMMIT\0";

#[test]
fn a_change_whose_answer_is_lost_may_have_been_made() -> Result<()> {
    let line = Line::lay()?;
    let database = "chatops_lost_staging";
    let mut room = Room::set_by_way_of("chatops_lost", &[], |environment, url| {
        Ok(match environment {
            "staging" => line.url(database),
            _ => url,
        })
    })?;
    let rows = "select count(*) from feature_gates";
    let unknown = |text: &str| {
        format!(
            "@ada: `/chatops {text}`\n:warning: staging: no response, so it may have been done or not: check with `/chatops run feature get f --staging`"
        )
    };
    // A change that depends on no other environment.
    line.make(Way::CutAt(ANSWER));
    let text = "run feature set f true --staging";
    assert_eq!(room.say(text)?, unknown(text));
    assert_eq!(number(&mut room.staging, rows)?, 1);
    let get = "run feature get f --staging";
    let here = || room.origin(&room.ada, &room.production_channel);
    let said = room.give(&here(), get)?;
    assert_eq!(said.text, "*f*\n:warning: staging: unreachable");
    ensure!(
        said.request.as_ref().is_some_and(|it| it.ends_with("`).")),
        "{said:?}"
    );
    line.make(Way::Open);
    let said = room.give(&here(), get)?;
    assert_eq!(said.text, "*f*\n• staging: on");
    assert_eq!(said.request, None);

    // A change that does: before the commit it is certain that it was not made.
    line.make(Way::CutAt(ANSWER));
    let text = "run feature set f false --staging";
    assert_eq!(
        room.say(text)?,
        format!(
            "@ada: `/chatops {text}`\n:warning: staging: unreachable, so nothing was changed there"
        )
    );
    assert_eq!(number(&mut room.staging, rows)?, 1);
    line.make(Way::Open);
    assert_eq!(
        room.say("run feature get f --staging")?,
        "*f*\n• staging: on"
    );
    line.make(Way::CutAt(COMMITTED));
    assert_eq!(room.say(text)?, unknown(text));
    assert_eq!(number(&mut room.staging, rows)?, 0);

    // The second attempt finds it done, and says so.
    line.make(Way::Open);
    for (way, text, change) in [
        (
            Way::CutOnceAt(ANSWER),
            "run feature set f true --staging",
            "off → on",
        ),
        (
            Way::CutOnceAt(COMMITTED),
            "run feature set f false --staging",
            "on → off",
        ),
        (
            Way::CutOnceAt(ANSWER),
            "run feature delete f --staging",
            "off → not set, so off",
        ),
    ] {
        line.make(way);
        assert_eq!(
            room.say(text)?,
            format!("@ada: `/chatops {text}`\n• staging: {change}")
        );
    }
    let done = "select count(*) from lockstep.chatops_command";
    assert_eq!(number(&mut room.staging, done)?, 5);
    Ok(())
}

#[test]
fn an_environment_that_never_answers_keeps_nobody_waiting() -> Result<()> {
    let [silent, patient] = [Line::lay()?, Line::lay()?];
    let database = "chatops_silent_pre";
    let dev = format!(
        "--environment=dev={} connect_timeout=600",
        patient.url(database)
    );
    let mut room = Room::set_by_way_of("chatops_silent", &[&dev], |environment, url| {
        Ok(match environment {
            "pre" => silent.url(database),
            _ => url,
        })
    })?;
    // An environment that accepts and stays silent times out, and the others are processed.
    silent.make(Way::Silent);
    assert_eq!(
        room.say("run feature set f true --pre --staging")?,
        "@ada: `/chatops run feature set f true --pre --staging`\n\
         :warning: pre: unreachable, so nothing was changed there\n\
         • staging: not set, so off → on"
    );
    // So does one that has responded before.
    silent.make(Way::Open);
    assert_eq!(
        room.say("run feature get f --pre --staging")?,
        "*f*\n• pre: not set, so off\n• staging: on"
    );
    silent.make(Way::Silent);
    assert_eq!(
        room.say("run feature get f --pre --staging")?,
        "*f*\n:warning: pre: unreachable\n• staging: on"
    );
    // However long one is waited for, Slack gets a response within three seconds, and the others are processed.
    patient.make(Way::Silent);
    let before = room.stage.slack.messages(&room.production_channel).len();
    room.begin(
        &room.stage.caller,
        "run feature set f false --dev --staging",
    )?;
    let begun = Instant::now();
    while number(&mut room.staging, "select count(*) from feature_gates")? != 0 {
        ensure!(begun.elapsed() < PATIENCE, "{}", room.stage.sidecar.log());
        sleep(Duration::from_millis(20));
    }
    patient.make(Way::Closed);
    let late = room.late(before + 1)?;
    assert_eq!(
        late.last().map(String::as_str),
        Some(
            "@ada: `/chatops run feature set f false --dev --staging`\n\
             :warning: dev: unreachable, so nothing was changed there\n\
             • staging: on → off"
        )
    );
    Ok(())
}
