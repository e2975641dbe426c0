//! What is wrong comes first, what changes over time is drawn, and everybody can use the page.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lockstep_tests::browser::{Browser, DESK, PHONE};
use lockstep_tests::target;
use serde_json::json;

use super::{PASSWORD, with_password};
use crate::concurrency::PATIENCE;
use crate::notification::app::Scene;

/// A day of messages, a failed and a running backfill, drift that was corrected, and many flags.
const DAY: &str = "
insert into lockstep_internal.delivery_history (schema, since, delivered, failed, p50_seconds, p99_seconds, oldest_seconds)
  select 'public', date_bin('5 minutes', now(), 'epoch') - g * interval '5 minutes', (200 + 150 * sin(g / 20.0))::int, case when g between 100 and 110 then 40 else 0 end,
         case when g not between 102 and 108 then 0.4 + 0.2 * sin(g / 9.0) end, case when g not between 102 and 108 then 2 + sin(g / 5.0) end,
         case when g between 100 and 110 then (111 - g) * 100 else 2 end
    from generate_series(1, 285) g on conflict (schema, since) do update
       set delivered = excluded.delivered, failed = excluded.failed, p50_seconds = excluded.p50_seconds, p99_seconds = excluded.p99_seconds,
           oldest_seconds = excluded.oldest_seconds;
insert into lockstep_internal.drift_history (schema, what, day, rows, is_more, checked_at)
  select 'public', 'public.projects.has_external_wiki', current_date - g, case when g between 5 and 9 then g * 30 else 0 end, false, now() - make_interval(days => g)
    from generate_series(1, 25) g;
insert into lockstep_internal.backfill_run (job, target_table, status, workers, settings, last_key, rows_estimated, scanned, updated, last_error, finished_at)
  values ('slack_workspaces', 'slack_integrations', 'failed', 1, '{}', '{9}', 1000, 700, 20, 'division by zero', now() - interval '1 hour');
insert into lockstep_internal.backfill_run (job, target_table, workers, settings, last_key, rows_estimated, scanned, updated, started_at)
  values ('cache_columns', 'projects', 0, '{\"pause_ms\": 0}', '{9}', 1000000, 600000, 200, now() - interval '2 hours');
insert into lockstep_internal.backfill_history (run, at, scanned)
  select 2, now() - make_interval(mins => g), 600000 - g * 5000 - (1000 * sin(g))::int from generate_series(1, 115) g;
insert into lockstep_internal.event (schema, key) values ('public', 'k');
insert into lockstep_internal.slack_channel (schema, team_id, channel, not_before) values ('public', 'T1', '#deploys-of-the-bakery', now() + interval '1 hour'), ('public', 'T1', '#old', now());
insert into lockstep_internal.slack_delivery (schema, event, integration_id, slack_integration_id, channel, lane, error, created_at)
  select 'public', e.id, 1, 1, c.id, c.id, 'http_500', now() - interval '1000 seconds' from lockstep_internal.event e, lockstep_internal.slack_channel c where c.channel ~ 'deploys';
insert into lockstep_internal.slack_delivery (schema, event, integration_id, slack_integration_id, channel, lane, error, status, done_at)
  select 'public', e.id, 1, 1, c.id, c.id, 'is_archived', 'failed', now() from lockstep_internal.event e, lockstep_internal.slack_channel c where c.channel = '#old';
insert into lockstep_internal.slack_channel_trouble (schema, integration_id, team_id, channel, error, since, last_at)
  values ('public', 1, 'T1', '#old', 'is_archived', now(), now());
do $$begin perform lockstep.set_slack_notifications(1, '{\"channels\": [\"#old\"]}'); end$$;
insert into lockstep_internal.job (worker, args, priority, run_at, status, retries, keeps_dead, died_at)
  values ('IrkerWorker', '{}', 0, now(), 'dead', 3, true, now()), ('Nobody::TakesThis', '{}', 0, now() - interval '1 hour', 'waiting', 3, true, null);
do $$begin perform lockstep.set_feature('flag_' || g, g % 2 = 0) from generate_series(1, 40) g; end$$";

#[test]
fn the_page_is_for_everybody() -> Result<()> {
    let mut scene = Scene::with(
        "status_plots",
        &["--viewer-password", PASSWORD, "--deliveries", "0"],
    )?;
    // It records on its own.
    scene
        .stage
        .wait_for("select exists (select from lockstep_internal.delivery_history)")?;
    scene.stage.client.batch_execute(DAY)?;
    let url = with_password(&scene.stage.sidecar.base, "/status");
    for (screen, scheme, name) in [
        (PHONE, "light", "390"),
        (PHONE, "dark", "390-dark"),
        (DESK, "light", "1280"),
        (DESK, "dark", "1280-dark"),
    ] {
        let mut browser = Browser::start(screen)?;
        browser.prefer(scheme)?;
        browser.open(&url)?;
        assert_eq!(browser.overflow()?, 0, "{name}");
        assert_eq!(browser.violations()?, [""; 0], "{name}");
        let seen = browser.run(
            "const top = selector => document.querySelector(selector).getBoundingClientRect().top;
             const left = selector => document.querySelector(selector).getBoundingClientRect().left;
             return [document.title, top('#problems') < top('#messages') && top('#problems') < window.innerHeight,
                     document.querySelectorAll('figure.plot svg path').length, left('#messages') < left('#jobs'),
                     document.querySelectorAll('time[datetime]').length > 4]",
            &json!([]),
        )?;
        // Two lines of two plots, the oldest message, drift, and two of the backfill that runs.
        assert_eq!(
            seen,
            json!([
                "6 problems · Status · GitLab for Slack",
                true,
                8,
                screen == DESK,
                true
            ]),
            "{name}"
        );
        let height = browser.run("return document.documentElement.scrollHeight", &json!([]))?;
        let height = height.as_u64().unwrap_or(0);
        ensure!(height < 6_000, "{name}: {height}");
        browser.resize(lockstep_tests::browser::Screen {
            height: u32::try_from(height)?,
            ..screen
        })?;
        browser.screenshot(&target().join(format!("page-status-full-{name}.png")))?;
    }
    let text = Browser::start(DESK)?;
    text.open(&url)?;
    let problems = text.text_of("#problems")?;
    for words in [
        "#old: the channel is archived: choose another (is_archived); one message was not sent",
        "A message has been waiting for ",
        "1 job of IrkerWorker failed for good",
        "A job of Nobody::TakesThis has been waiting or running for ",
        "Backfill slack_workspaces of public.slack_integrations failed",
        "Backfill cache_columns of public.projects has no worker",
    ] {
        ensure!(problems.contains(words), "{words}: {problems}");
    }
    Ok(())
}

/// What changes is changed in its place: who types, reads a folded part or has selected something goes on.
#[test]
fn a_refresh_disturbs_nobody() -> Result<()> {
    let mut scene = Scene::with("status_focus", &["--viewer-password", PASSWORD])?;
    scene.stage.client.batch_execute(
        "do $$begin perform lockstep.set_feature('flag_' || g, true) from generate_series(1, 40) g; end$$",
    )?;
    let browser = Browser::start(DESK)?;
    browser.open(&with_password(&scene.stage.sidecar.base, "/status"))?;
    browser.click("#flags summary")?;
    browser.fill("#filter", "flag_7")?;
    let shown = |browser: &Browser| {
        browser.run(
            "return [document.activeElement.id, document.activeElement.value, document.querySelector('details').open,
                     [...document.querySelectorAll('#features li')].filter(it => it.offsetHeight > 0).length]",
            &json!([]),
        )
    };
    let expected = json!(["filter", "flag_7", true, 1]);
    assert_eq!(shown(&browser)?, expected);
    scene.stage.client.batch_execute(
        "do $$begin perform lockstep.set_feature('flag_0', true), lockstep.enqueue_job('Nobody::TakesThis'); end$$",
    )?;
    let begun = Instant::now();
    while !browser.dom()?.contains("Nobody::TakesThis") {
        ensure!(begun.elapsed() < PATIENCE, "{}", browser.dom()?);
        sleep(Duration::from_millis(100));
    }
    ensure!(browser.dom()?.contains("flag_0"));
    assert_eq!(shown(&browser)?, expected);
    Ok(())
}
