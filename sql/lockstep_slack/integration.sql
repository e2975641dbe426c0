create table lockstep_internal.integration_event (
  id bigint generated always as identity
    constraint integration_event_pkey primary key,
  integration_id bigint not null,
  event text,
  -- A job that runs twice, because its runner was lost before reporting, records its event once.
  job bigint
    constraint integration_event_job_key unique,
  recorded_at timestamptz not null default pg_catalog.clock_timestamp()
);
comment on table lockstep_internal.integration_event is 'events that integrations were notified of; written by lockstep.record_integration_event alone';
create index integration_event_integration_id_idx on lockstep_internal.integration_event (integration_id);
create index integration_event_recorded_at_idx on lockstep_internal.integration_event (recorded_at);
