//! lockstep: derived columns of a GitLab-shaped database, kept in lockstep with the rows they are derived from.

#![deny(ffi_unwind_calls)]

mod attach;
mod backfill;
mod cache_column;
mod chatops;
mod delivery;
mod error;
mod event;
mod feature;
mod home;
mod integration;
mod job;
mod leaving;
mod service_account;
mod slack_workspace;
mod status;
mod sweep;
mod transaction;

#[cfg(not(panic = "unwind"))]
compile_error!("PostgreSQL's errors cross Rust frames by unwinding: build with panic = \"unwind\"");

pgrx::pg_module_magic!(name, version);

pgrx::extension_sql_file!(
    "../../../sql/lockstep/schema.sql",
    name = "schema",
    bootstrap
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep/cache_column.sql",
    name = "cache_column",
    requires = [
        cache_column::installed::drift::begin_cache_column_drift,
        cache_column::installed::drift::cache_column_drift_rows,
        cache_column::installed::state::cache_column_state
    ]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep/backfill.sql",
    name = "backfill",
    requires = ["schema"]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep/feature.sql",
    name = "feature",
    requires = ["schema"]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep/feature_view.sql",
    name = "feature_view",
    requires = [feature::list::list_features, "feature"]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep/job.sql",
    name = "job",
    requires = ["schema"]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep/integration.sql",
    name = "integration",
    requires = ["schema"]
);

pgrx::extension_sql_file!(
    "../../../sql/lockstep/slack.sql",
    name = "slack",
    requires = ["job"]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep/notification.sql",
    name = "notification",
    requires = ["schema"]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep/delivery.sql",
    name = "delivery",
    requires = ["notification"]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep/slack_role.sql",
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
        slack_workspace::lookup::switch::set_slack_integration_active,
        slack_workspace::installed::token::claim_slack_token_refresh,
        slack_workspace::installed::token::store_slack_token,
        slack_workspace::installed::token::give_back_slack_token_refresh,
        slack_workspace::installed::reseal::list_slack_tokens,
        slack_workspace::installed::reseal::replace_slack_token,
        sweep::sweep_slack,
        slack_workspace::lookup::path::project_path,
        event::publish::publish_events,
        event::settings::workspace::slack_workspace_notifications,
        event::settings::workspace::set_slack_integration_settings,
        event::trial::test_slack_workspace_integration,
        delivery::claimed::claim::claim_deliveries,
        delivery::claimed::wait::delivery_wait,
        delivery::finished::finish::finish_deliveries,
        delivery::finished::outcome::slack_channel_troubles,
        delivery::finished::outcome::delivery_results,
        status::report::status_report,
        status::drift::drift_report,
        job::runner::start_runner,
        job::runner::runner_heartbeat,
        job::runner::stop_runner,
        job::claim::claim_jobs,
        job::outcome::complete_jobs,
        job::outcome::fail_job,
        job::outcome::release_jobs,
        job::outcome::release_other_jobs,
        integration::event::record_integration_event,
        integration::cluster::set_cluster_integration
    ]
);

pgrx::extension_sql_file!(
    "../../../sql/lockstep/chatops.sql",
    name = "chatops",
    requires = ["schema"]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep/chatops_role.sql",
    name = "chatops_role",
    requires = [
        "chatops",
        "slack_role",
        chatops::backfill::chatops_backfills,
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
        chatops::incident::chatops_incidents,
        chatops::member::is_chatops_member,
        chatops::rollout::chatops_rollout,
        chatops::worker::chatops_retire_worker,
        chatops::worker::chatops_workers
    ]
);

pgrx::extension_sql_file!(
    "../../../sql/lockstep/restore.sql",
    name = "restore",
    requires = ["cache_column", "backfill", "feature", "chatops"]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep/retention.sql",
    name = "retention",
    requires = ["schema"]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep/ownership.sql",
    name = "ownership",
    finalize
);

/// Called once, when the library is loaded into a backend.
#[pgrx::pg_guard]
extern "C-unwind" fn _PG_init() {
    lockstep_server::init();
    backfill::init();
    transaction::init();
}
