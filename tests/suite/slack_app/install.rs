//! Installing the app: from two projects of one workspace, and for a whole organization.

use anyhow::{Result, ensure};
use lockstep_tests::slack::caller::Origin;
use lockstep_tests::slack::{Decision, Workspace};
use postgres::Client;

use crate::slack_app::{EVENTS, Stage, http};

/// The shared values of a workspace's rows, as one text per row, with scopes by name.
const SHARED: &str = "
  select array_agg(distinct concat_ws(' ', user_id, bot_user_id, encode(encrypted_bot_access_token, 'hex'),
                                      encode(encrypted_bot_access_token_iv, 'hex'), updated_at,
                                      (select string_agg(a.name, ',' order by a.name)
                                         from slack_integrations_scopes l join slack_api_scopes a on a.id = l.slack_api_scope_id
                                        where l.slack_integration_id = s.id)))
    from slack_integrations s where team_id = $1";

fn shared(client: &mut Client, team: &str) -> Result<Vec<String>> {
    Ok(client
        .query_one(SHARED, &[&team])?
        .get::<_, Option<_>>(0)
        .unwrap_or_default())
}

pub(super) fn rows(client: &mut Client) -> Result<Vec<String>> {
    let query = "select array_agg(team_id || ' ' || alias || ' ' || project_id order by alias) from slack_integrations";
    Ok(client
        .query_one(query, &[])?
        .get::<_, Option<_>>(0)
        .unwrap_or_default())
}

#[test]
fn two_projects_of_one_workspace_from_installation_to_uninstallation() -> Result<()> {
    let mut stage = Stage::set("app_two_projects")?;
    let team = stage.slack.create_workspace("Acme");
    let ada = stage.slack.create_user(&team.id, "ada");
    let bob = stage.slack.create_user(&team.id, "bob");
    let origin = Origin {
        team_id: Some(team.id.clone()),
        user_id: ada.id.clone(),
        ..Origin::default()
    };

    let text = stage.say(&origin, "status")?;
    ensure!(text.contains("No project is connected"), "{text}");
    for (project, user) in [(1, &ada), (2, &bob)] {
        stage.slack.decide(Decision::Approve {
            tenant: team.id.clone(),
            user: user.id.clone(),
        });
        let ticket = stage.ticket(project)?;
        let page = stage.install(&format!("?ticket={ticket}"))?;
        let (status, text) = (page.status, page.text());
        ensure!(status == 200 && text.contains("Acme"), "{status} {text}");
        // The ticket is used up.
        let again = http().get(
            &format!("{}/slack/install?ticket={ticket}", stage.sidecar.base),
            &[],
        )?;
        ensure!(
            again.status == 400 && again.text().contains("no longer valid"),
            "{}",
            again.text()
        );
    }
    let aliases = [("group/one", 1), ("group/two", 2)];
    let expected: Vec<String> = aliases
        .iter()
        .map(|(alias, project)| format!("{} {alias} {project}", team.id))
        .collect();
    assert_eq!(rows(&mut stage.client)?, expected);
    let same = shared(&mut stage.client, &team.id)?;
    ensure!(same.len() == 1 && same[0].starts_with(&bob.id), "{same:?}");
    ensure!(
        same[0].ends_with("chat:write,chat:write.public,commands"),
        "{same:?}"
    );

    for (alias, _) in aliases {
        let text = stage.say(&origin, &format!("{alias} status"))?;
        for words in [
            alias,
            ":white_check_mark: Active",
            "Notifies of nothing yet",
            "All scopes are granted",
        ] {
            ensure!(text.contains(words), "{words}: {text}");
        }
    }
    let text = stage.say(&origin, "status")?;
    ensure!(
        text.contains("`group/one`") && text.contains("`group/two`"),
        "{text}"
    );
    let text = stage.say(&origin, "group/three status")?;
    ensure!(
        text.contains("No project or group with the alias `group/three`"),
        "{text}"
    );
    // Other workspaces know nothing of this.
    let other = Origin {
        team_id: Some("T999".to_owned()),
        ..origin.clone()
    };
    let text = stage.say(&other, "group/one status")?;
    ensure!(
        text.contains("No project or group with the alias"),
        "{text}"
    );

    stage.slack.uninstall(&team.id);
    for event in stage.slack.take_events() {
        let reply = stage.caller.event(EVENTS, &event)?;
        ensure!(reply.status == 200, "{}", reply.text());
    }
    assert_eq!(rows(&mut stage.client)?, [""; 0]);
    let left = "select not exists (select from lockstep_internal.slack_installation) and not exists (select from integrations where active)";
    ensure!(stage.client.query_one(left, &[])?.get::<_, bool>(0));

    let log = stage.sidecar.log();
    let tokens = stage.slack.calls_of("oauth.v2.access").len();
    ensure!(
        tokens == 2 && !log.contains("xoxb") && !log.contains("xoxe"),
        "{log}"
    );
    Ok(())
}

/// The application could decrypt the token.
#[test]
fn token_is_sealed_as_the_host_does_it() -> Result<()> {
    let mut stage = Stage::set("app_sealed")?;
    let team = stage.slack.create_workspace("Acme");
    let ada = stage.slack.create_user(&team.id, "ada");
    stage.connect(1)?;
    let row = stage.client.query_one(
        "select octet_length(encrypted_bot_access_token_iv), octet_length(encrypted_bot_access_token),
                encrypted_bot_access_token like '%xox%', user_id from slack_integrations",
        &[],
    )?;
    assert_eq!(row.get::<_, i32>(0), 12);
    ensure!(row.get::<_, i32>(1) > 16 && !row.get::<_, bool>(2));
    assert_eq!(row.get::<_, String>(3), ada.id);
    Ok(())
}

#[test]
fn installation_without_a_project_renews_those_that_are_connected() -> Result<()> {
    let mut stage = Stage::set("app_renewed")?;
    let team = stage.slack.create_workspace("Acme");
    let ada = stage.slack.create_user(&team.id, "ada");
    stage.connect(1)?;
    stage.client.batch_execute(
        "delete from slack_integrations_scopes using slack_api_scopes a where a.id = slack_api_scope_id and a.name <> 'commands'",
    )?;
    let origin = Origin {
        team_id: Some(team.id.clone()),
        user_id: ada.id,
        ..Origin::default()
    };
    let text = stage.say(&origin, "group/one status")?;
    ensure!(
        text.contains("lacks the scopes `chat:write`, `chat:write.public`")
            && text.contains("|Install it again>"),
        "{text}"
    );
    let page = stage.install("")?;
    ensure!(
        page.status == 200 && page.text().contains("have its new scopes"),
        "{}",
        page.text()
    );
    let text = stage.say(&origin, "group/one status")?;
    ensure!(text.contains("All scopes are granted"), "{text}");
    assert_eq!(rows(&mut stage.client)?.len(), 1);
    Ok(())
}

#[test]
fn organization_installs_for_all_its_workspaces() -> Result<()> {
    let mut stage = Stage::set("app_organization")?;
    let organization = stage.slack.create_enterprise("Globex");
    let team = stage
        .slack
        .create_workspace_in(&organization.id, "Globex East");
    let ada = stage.slack.create_user(&team.id, "ada");
    stage.slack.decide(Decision::Approve {
        tenant: organization.id.clone(),
        user: ada.id.clone(),
    });
    stage.connect(1)?;
    assert_eq!(
        rows(&mut stage.client)?,
        [format!("{} group/one 1", organization.id)]
    );
    let origin = Origin {
        team_id: Some(team.id),
        enterprise_id: Some(organization.id.clone()),
        is_enterprise_install: true,
        user_id: ada.id.clone(),
        ..Origin::default()
    };
    let text = stage.say(&origin, "group/one status")?;
    ensure!(text.contains("Active"), "{text}");
    let nowhere = Origin {
        team_id: None,
        ..origin
    };
    ensure!(stage.say(&nowhere, "group/one status")?.contains("Active"));

    let event = stage.slack.home_opened(&organization.id, &ada.id)?;
    ensure!(stage.caller.event(EVENTS, &event)?.status == 200);
    ensure!(
        stage
            .slack
            .wait_for_calls("views.publish", 1, crate::concurrency::PATIENCE)
    );
    ensure!(stage.slack.home(&ada.id).is_some());

    stage.slack.uninstall(&organization.id);
    for event in stage.slack.take_events() {
        ensure!(stage.caller.event(EVENTS, &event)?.status == 200);
    }
    assert_eq!(rows(&mut stage.client)?, [""; 0]);
    Ok(())
}

/// A project that moves to another workspace: the pages say so, before and after, and not if it stays.
#[test]
fn a_second_workspace_is_announced() -> Result<()> {
    let mut stage = Stage::set("app_second_workspace")?;
    let [first, second] = ["Acme", "Tea <b> House"].map(|name| stage.slack.create_workspace(name));
    let mut connect = |team: &Workspace| -> Result<(String, String)> {
        let user = stage.slack.create_user(&team.id, "ada").id;
        stage.slack.decide(Decision::Approve {
            tenant: team.id.clone(),
            user,
        });
        let ticket = stage.ticket(1)?;
        let confirm = http().get(
            &format!("{}/slack/install?ticket={ticket}", stage.sidecar.base),
            &[],
        )?;
        let installed = stage.install(&format!("?ticket={ticket}"))?;
        ensure!(installed.status == 200, "{}", installed.text());
        Ok((confirm.text(), installed.text()))
    };
    let (before, after) = connect(&first)?;
    ensure!(!before.contains("no longer notified"), "{before}");
    ensure!(!after.contains("no longer notified"), "{after}");
    let (before, after) = connect(&first)?;
    ensure!(
        before.contains("is connected to the workspace <strong>Acme</strong> now"),
        "{before}"
    );
    ensure!(!after.contains("no longer notified"), "{after}");
    let (before, after) = connect(&second)?;
    ensure!(before.contains("Acme is no longer notified"), "{before}");
    ensure!(
        after.contains("The workspace <strong>Acme</strong> is no longer notified of it"),
        "{after}"
    );
    let (before, _) = connect(&first)?;
    ensure!(before.contains("Tea &lt;b&gt; House"), "{before}");
    Ok(())
}
