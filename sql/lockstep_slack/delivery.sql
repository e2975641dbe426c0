create view lockstep.slack_delivery_status as
select c.schema, c.team_id, c.channel, coalesce(w.waiting, 0) as waiting, w.oldest,
       coalesce(h.delivered, 0) as delivered_last_hour, coalesce(h.failed, 0) as failed_last_hour,
       case when l.not_before > pg_catalog.clock_timestamp() and l.paced_at <= pg_catalog.clock_timestamp() + interval '5 minutes' then l.not_before end as held_until,
       l.leased_until, coalesce(t.error, d.error) as last_error, coalesce(t.needed, d.needed) as needed
  from lockstep_internal.slack_channel c
  join lockstep_internal.slack_channel l on l.id = coalesce(c.same_as, c.id)
  left join (
    select o.channel, pg_catalog.count(*) as waiting, pg_catalog.min(greatest(o.created_at, o.not_before)) filter (where o.not_before is null or o.not_before <= pg_catalog.clock_timestamp()) as oldest, pg_catalog.min(o.id) as first
      from lockstep_internal.slack_delivery o where o.status = 'waiting' group by o.channel
  ) w on w.channel = c.id
  left join (
    select o.channel, pg_catalog.count(*) filter (where o.status = 'delivered') as delivered,
           pg_catalog.count(*) filter (where o.status = 'failed') as failed
      from lockstep_internal.slack_delivery o
     where o.status <> 'waiting' and o.done_at > (select pg_catalog.clock_timestamp() - interval '1 hour') group by o.channel
  ) h on h.channel = c.id
  left join lockstep_internal.slack_delivery d on d.id = w.first
  -- Not once for each channel: no index has the troubles of one.
  left join (
    select distinct on (o.schema, o.team_id, o.channel) o.schema, o.team_id, o.channel, o.error, o.needed
      from (select i.schema, i.team_id, i.channel, i.error, i.needed, i.last_at from lockstep_internal.slack_channel_trouble i
             union all
            select s.schema, s.team_id, s.channel, s.error, s.needed, s.failed_at from lockstep_internal.slack_subscription s
             where s.error is not null) o
     order by o.schema, o.team_id, o.channel, o.last_at desc
  ) t on t.schema = c.schema and t.team_id = c.team_id and t.channel = c.channel
 where w.channel is not null or h.channel is not null or t.error is not null;
comment on view lockstep.slack_delivery_status is
  'channels of Slack that deliveries wait for, that got a message within the last hour, or that cannot be reached; held: until when nothing is sent';
comment on column lockstep.slack_delivery_status.schema is 'schema of GitLab''s tables';
comment on column lockstep.slack_delivery_status.team_id is 'the Slack workspace';
comment on column lockstep.slack_delivery_status.channel is 'the channel as configured: a name or an id';
comment on column lockstep.slack_delivery_status.waiting is 'messages that wait';
comment on column lockstep.slack_delivery_status.oldest is 'since when the oldest of them waits';
comment on column lockstep.slack_delivery_status.delivered_last_hour is 'messages that Slack took within an hour';
comment on column lockstep.slack_delivery_status.failed_last_hour is 'messages that failed for good within an hour';
comment on column lockstep.slack_delivery_status.held_until is 'when the next message may be sent, if that is not now';
comment on column lockstep.slack_delivery_status.leased_until is 'until when a sidecar has the channel; null if none has';
comment on column lockstep.slack_delivery_status.last_error is 'Slack''s name of the last error';
comment on column lockstep.slack_delivery_status.needed is 'scope that the app lacked';
grant select on lockstep.slack_delivery_status to lockstep_admin, pg_monitor;
