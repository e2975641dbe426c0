//! lockstep_slack: keeps the Slack workspaces of a GitLab-shaped database consistent, decides who is notified of events there,
//! and runs commands from Slack. It uses lockstep through SQL, like any other client.

#![deny(ffi_unwind_calls)]

mod account;
mod attach;
mod before_drop;
mod chatops;
mod delivery;
mod error;
mod event;
mod held;
mod integration;
mod slack_workspace;
mod status;
mod subscription;
mod sweep;
mod transaction;

#[cfg(not(panic = "unwind"))]
compile_error!("PostgreSQL's errors cross Rust frames by unwinding: build with panic = \"unwind\"");

pgrx::pg_module_magic!(name, version);

pgrx::extension_sql_file!(
    "../../../sql/lockstep_slack/schema.sql",
    name = "schema",
    bootstrap
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep_slack/registered.sql",
    name = "registered",
    requires = [
        slack_workspace::identical::drift::repair_slack_range,
        "chatops",
        "integration",
        "subscription"
    ]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep_slack/integration.sql",
    name = "integration",
    requires = ["schema"]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep_slack/slack.sql",
    name = "slack",
    requires = ["schema"]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep_slack/notification.sql",
    name = "notification",
    requires = ["schema"]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep_slack/subscription.sql",
    name = "subscription",
    requires = ["schema"]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep_slack/delivery.sql",
    name = "delivery",
    requires = ["notification", "subscription"]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep_slack/report.sql",
    name = "report",
    requires = [
        "slack",
        "delivery",
        "chatops",
        "metrics",
        event::settings::trouble::channel_troubles
    ]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep_slack/metrics.sql",
    name = "metrics",
    requires = ["slack", "notification", status::schema::is_schema]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep_slack/history.sql",
    name = "history",
    requires = ["slack", "notification", status::schema::is_schema]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep_slack/slack_role.sql",
    name = "slack_role",
    requires = [
        "slack",
        slack_workspace::installed::state::begin_slack_install,
        slack_workspace::installed::state::take_slack_install,
        slack_workspace::installed::state::finish_slack_install,
        slack_workspace::event::receive_slack_event,
        slack_workspace::event::enqueue_slack_job,
        slack_workspace::lookup::bot::slack_bot,
        slack_workspace::lookup::bot::list_slack_workspaces,
        slack_workspace::lookup::listing::list_slack_integrations,
        slack_workspace::lookup::listing::slack_integrations_by_alias,
        slack_workspace::lookup::switch::set_slack_integration_active,
        slack_workspace::manager::managed_slack_integrations,
        slack_workspace::installed::token::claim_slack_token_refresh,
        slack_workspace::installed::token::store_slack_token,
        slack_workspace::installed::token::give_back_slack_token_refresh,
        slack_workspace::installed::reseal::list_slack_tokens,
        slack_workspace::installed::reseal::replace_slack_token,
        sweep::sweep_slack,
        slack_workspace::lookup::path::is_project_within,
        event::person::set::set_slack_person,
        event::publish::publish_events,
        event::reminder::remind_of_reviews,
        event::settings::workspace::slack_workspace_notifications,
        event::settings::workspace::set_slack_integration_settings,
        event::subscription::followers::list_slack_followers,
        event::subscription::workspace::list_slack_subscriptions,
        event::subscription::workspace::subscribe_slack_project,
        event::subscription::workspace::unsubscribe_slack_project,
        event::trial::test_slack_workspace_integration,
        delivery::claimed::claim::claim_deliveries,
        delivery::claimed::wait::delivery_wait,
        delivery::finished::finish::finish_deliveries,
        delivery::finished::outcome::slack_channel_troubles,
        delivery::finished::outcome::delivery_results,
        "report",
        "history",
        status::drift::drift_report,
        integration::event::record_integration_event,
        integration::cluster::set_cluster_integration
    ]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep_slack/chatops.sql",
    name = "chatops",
    requires = ["schema"]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep_slack/chatops_role.sql",
    name = "chatops_role",
    requires = [
        "chatops",
        "slack_role",
        chatops::backfill::chatops_control_backfill,
        chatops::backfill::chatops_start_backfill,
        chatops::deployment::chatops_deployments,
        chatops::deployment::chatops_release,
        chatops::drift::chatops_drift,
        chatops::flag::chatops_delete_feature,
        chatops::flag::chatops_feature,
        chatops::flag::chatops_features,
        chatops::flag::chatops_set_feature,
        chatops::incident::chatops_close_incident,
        chatops::incident::chatops_declare_incident,
        chatops::member::is_chatops_member,
        chatops::rollout::chatops_rollout,
        chatops::worker::chatops_retire_worker,
        "report"
    ]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep/ownership.sql",
    name = "ownership",
    finalize
);

/// Called once, when a backend loads the library.
#[pgrx::pg_guard]
extern "C-unwind" fn _PG_init() {
    // At the end of a transaction, lockstep must see what this extension does to Slack rows. The library loaded last runs first.
    lockstep_server::load(c"$libdir/lockstep");
    lockstep_server::init(c"lockstep_slack", transaction::AT_END);
}
