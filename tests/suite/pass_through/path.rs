//! GitLab knows a project by its alias; people know its current or former path.

use anyhow::{Context, Result, ensure};
use lockstep_tests::http::FORM;
use lockstep_tests::slack::caller::sign;

use super::Scene;
use crate::slack_app::COMMANDS;

/// The application's tables of paths, and project 1 with the alias tea.
const PATHS: &str = "
create table routes (id bigserial primary key, source_id bigint not null, source_type varchar not null, path varchar not null);
create table redirect_routes (id bigserial primary key, source_id bigint not null, source_type varchar not null, path varchar not null);
insert into routes (source_id, source_type, path)
  values (1, 'Project', 'group/one'), (2, 'Project', 'group/two'), (1, 'Namespace', 'group/taken');
insert into redirect_routes (source_id, source_type, path) values (1, 'Project', 'former/one');
update slack_integrations set alias = 'tea'";

fn scene(name: &str) -> Result<Scene> {
    let mut scene = Scene::set(name)?;
    scene.stage.client.batch_execute(PATHS)?;
    scene.gitlab.connect(&scene.team, "tea", "group/one");
    Ok(scene)
}

#[test]
fn paths_become_the_alias() -> Result<()> {
    let scene = scene("pass_path")?;
    let caller = &scene.stage.caller;
    for (typed, expected) in [
        ("tea issue show 1", "tea issue show 1"),
        ("group/one issue show 1", "tea issue show 1"),
        (" Group/One  issue show 1", "tea  issue show 1"),
        (
            "former/one issue new A\nb <c> & d",
            "tea issue new A\nb &lt;c&gt; &amp; d",
        ),
        ("former/one help", "tea help"),
        // GitLab says that it does not know it.
        ("coffee issue show 1", "coffee issue show 1"),
        ("incident declare", "incident declare"),
    ] {
        let body = caller.command_body(&scene.origin(), "/gitlab", typed);
        let reply = caller.post(COMMANDS, FORM, body.as_bytes())?;
        ensure!(reply.status == 200, "{typed}: {}", reply.text());
        let received = scene.gitlab.received();
        let request = received.first().context("nothing came")?;
        scene.gitlab.forget();
        assert_eq!(request.field("text").as_deref(), Some(expected));
        if typed == expected {
            assert_eq!(request.body, body.as_bytes());
            continue;
        }
        ensure!(
            ["issues/1", "issues/8", "Commands of GitLab"]
                .iter()
                .any(|words| reply.text().contains(words)),
            "{}",
            reply.text()
        );
        // Everything else is unchanged, and signed.
        let others = |body: &[u8]| -> Vec<(String, String)> {
            let fields = form_urlencoded::parse(body).into_owned();
            fields.filter(|(name, _)| name != "text").collect()
        };
        assert_eq!(others(&request.body), others(body.as_bytes()));
        let [timestamp] = request.header("x-slack-request-timestamp")[..] else {
            anyhow::bail!("{request:?}");
        };
        let secret = scene.stage.slack.app().signing_secret;
        let signature = sign(&secret, timestamp, &request.body);
        assert_eq!(request.header("x-slack-signature"), [&signature]);
    }
    // For our own commands as well.
    let said = scene.told("former/one status")?;
    ensure!(
        said.contains("*tea*") && said.contains("group/one"),
        "{said}"
    );
    Ok(())
}

/// The answer is the same for a path that no project has.
#[test]
fn what_is_not_connected_gets_the_link() -> Result<()> {
    let scene = scene("pass_unconnected")?;
    for path in ["group/two", "group/nothing", "group/taken"] {
        let said = scene.told(&format!("{path} issue show 1"))?;
        let link = format!(
            "<{}/{path}/-/settings/integrations/gitlab_slack_application/edit|",
            scene.gitlab.base_url()
        );
        ensure!(
            said.contains("is not connected to this workspace") && said.contains(&link),
            "{said}"
        );
    }
    ensure!(scene.gitlab.received().is_empty());
    assert_eq!(scene.counted("not_connected")?, 3.0);
    // Text that is not a path does not become a link.
    let said = scene.told("<https://a.example/b|x> issue show 1")?;
    ensure!(!said.contains("a.example"), "{said}");
    Ok(())
}

/// Without the database the command is passed on unchanged.
#[test]
fn database_that_hangs_stops_nobody() -> Result<()> {
    let scene = scene("pass_path_locked")?;
    let mut holder = crate::database::cluster()?.connect("pass_path_locked")?;
    let mut transaction = holder.transaction()?;
    transaction.batch_execute("lock table slack_integrations in access exclusive mode")?;
    let shown = scene.answer("tea issue show 1")?;
    ensure!(shown.to_string().contains("Make tea"), "{shown}");
    transaction.rollback()?;
    Ok(())
}
