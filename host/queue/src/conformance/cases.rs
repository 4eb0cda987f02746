//! The list of all cases. One that is written and not listed here is reported as dead code.

use std::future::Future;
use std::time::Duration;

use super::bench::{Bench, Unsupported};

/// Defines a function that runs each case of a file, and a macro that defines a test for each.
macro_rules! suite {
    ($d:tt $($file:ident: [$($case:ident),+ $(,)?])+) => {
        $(
            #[doc = concat!("The cases of `", stringify!($file), "`.")]
            pub mod $file {
                use crate::conformance::bench::Bench;
                $(
                    #[doc = concat!("Shows that ", stringify!($case), ".")]
                    ///
                    /// # Panics
                    /// If the case fails.
                    pub fn $case<B: Bench>() {
                        let name = concat!(stringify!($file), "::", stringify!($case));
                        let case = crate::conformance::$file::$case::<B>();
                        crate::conformance::cases::run::<B, _>(name, case);
                    }
                )+
            }
        )+

        /// Defines a module for each store, with a test for each case of the suite: `store_conformance!(sqlite: SqliteBench)`.
        #[macro_export]
        macro_rules! store_conformance {
            ($d($d store:ident: $d bench:path),+ $d(,)?) => {
                $d(
                    mod $d store {
                        $(
                            mod $file {
                                $(
                                    #[test]
                                    fn $case() {
                                        $crate::conformance::cases::$file::$case::<$d bench>();
                                    }
                                )+
                            }
                        )+
                    }
                )+
            };
        }
    };
}

/// After which time a case fails that waits for an event. Each takes a second or two, except the model, which does not wait.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a case. One that does not apply to the store has to be listed in [`Bench::NOT_SHOWN`].
#[allow(clippy::print_stderr, reason = "the output of a test")]
fn run<B: Bench, T: Shown>(name: &str, case: impl Future<Output = T>) {
    if let Some(missing) = B::missing() {
        eprintln!("SKIPPED: {name}: {missing}");
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // See `Request::send`.
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let ended = runtime.block_on(async { tokio::time::timeout(PATIENCE, case).await });
    let Ok(shown) = ended.map(Shown::shown) else {
        panic!("{name} waits for what does not come");
    };
    let is_expected = !B::NOT_SHOWN.contains(&name);
    match shown {
        Ok(()) => assert!(
            is_expected,
            "{name} is shown, and `NOT_SHOWN` says that it is not"
        ),
        Err(why) => {
            assert!(!is_expected, "{name} is not shown: {why}");
            eprintln!("{name} is not shown: {why}");
        }
    }
}

/// The result of a case.
trait Shown {
    fn shown(self) -> Result<(), Unsupported>;
}

impl Shown for () {
    fn shown(self) -> Result<(), Unsupported> {
        Ok(())
    }
}

impl Shown for Result<(), Unsupported> {
    fn shown(self) -> Self {
        self
    }
}

suite! {
    $
    bodies: [
        a_body_larger_than_a_transaction_is_answered_when_all_of_it_is_stored,
        a_handler_with_half_of_the_queue_gets_no_more_and_the_others_do,
        what_no_route_wants_is_done_and_what_is_no_alert_is_dead,
        a_refused_part_that_comes_again_is_kept_once,
        a_refused_part_whose_dead_letter_was_removed_is_kept_and_reported_again,
    ]
    crashes: [
        an_accepted_alert_survives_a_crash,
        a_settled_delivery_is_listed_as_it_was,
        three_deaths_of_the_server_under_a_delivery_end_it,
        an_orderly_end_gives_leases_back_and_counts_no_death,
        nothing_is_handed_out_after_the_end,
        identifiers_grow_though_the_clock_goes_back,
        the_seed_of_a_step_is_its_own_and_outlives_the_process,
    ]
    leases: [
        its_resolved_never_overtakes_its_firing,
        a_retry_waits_for_its_time_over_a_restart,
        a_step_of_the_next_handler_waits_for_its_permit_and_resumes_there,
        what_is_cancelled_before_a_worker_takes_it_out_ends_and_is_not_run,
        leases_without_a_story_leave_nothing_behind,
        a_lease_of_an_earlier_start_records_and_ends_nothing,
        the_story_of_a_cancelled_one_that_was_removed_is_not_stored,
    ]
    lists: [
        lists_are_narrowed_and_paged,
        what_waits_is_listed_by_what_it_waits_for,
        lists_by_labels_come_in_parts_of_bounded_work,
        what_no_index_finds_is_looked_for_in_parts_that_say_how_far_back,
        a_list_finds_labels_that_have_to_be_equal_and_deliveries_of_one_fingerprint,
        lists_of_a_time_begin_and_end_there,
        a_list_goes_back_to_newer_pages_the_way_it_came,
        what_waits_is_listed_towards_newer_ones_too,
        a_list_leaves_out_what_had_ended_before,
        outlines_have_effects_and_leave_out_what_is_not_stored,
    ]
    journal: [
        a_record_is_there_after_a_crash_for_the_steps_that_have_not_ended,
        a_lease_that_has_ended_records_nothing,
        what_a_retry_needs_ends_with_the_last_effect_and_the_rest_is_counted,
        of_many_attempts_the_first_and_the_last_are_kept_and_the_rest_counted,
    ]
    kv: [
        state_changes_together_with_its_record,
        keys_are_counted_as_they_come_and_go,
        what_a_handler_uses_is_read_without_its_values,
        what_is_there_can_be_changed_although_the_quota_was_lowered,
        state_is_bounded_and_expires,
    ]
    steps: [
        a_doubt_is_kept_over_crashes_until_the_record_says_that_it_was_carried,
    ]
    events: [
        the_same_event_again_is_a_duplicate_even_after_a_restart,
        an_event_is_known_wherever_a_crash_met_it,
        a_duplicate_within_one_body_is_answered_with_its_original,
        another_start_is_another_event,
        a_firing_after_its_resolved_is_stale,
        a_re_send_long_after_the_last_run_is_a_reminder,
        there_is_no_reminder_of_what_has_not_ended,
        each_route_has_its_own_repeat_after,
        what_no_route_wanted_runs_when_one_does,
        an_alert_without_a_start_belongs_to_the_firing_that_is_open,
        the_memory_of_an_event_outlives_its_delivery,
    ]
    occurrences: [
        a_firing_after_its_resolved_is_the_next_occurrence_with_a_resolved_of_its_own,
        occurrences_run_in_order,
        a_firing_that_never_ran_is_stale_for_five_minutes,
        a_clock_that_is_set_back_makes_no_firing_stale_for_long,
        each_occurrence_counts_its_own_duplicates_and_reminds_by_its_own_time,
        a_dead_one_of_an_earlier_occurrence_is_not_revived_by_a_later,
        a_sender_cannot_note_an_occurrence,
        a_resolved_with_a_start_of_nobody_s_ends_the_one_firing_that_is_open,
        what_replaces_another_name_of_an_event_is_known_to_the_rest_of_its_body,
        a_resolved_that_may_end_several_firings_or_none_is_an_event_of_its_own,
        a_resolved_without_a_start_ends_the_occurrence_that_is_open,
    ]
    edited_routes: [
        what_died_on_a_route_that_was_edited_is_revived_by_a_re_send,
        each_of_several_edited_routes_revives_its_own,
        what_died_by_a_handler_that_was_taken_out_runs_on_the_new_route,
        what_was_cancelled_stays_so_on_an_edited_route,
        a_resolved_on_an_edited_route_waits_for_its_firing_on_the_old_one,
        what_is_sent_again_on_the_old_route_goes_before_what_waits_on_the_new_one,
        one_on_the_old_route_that_a_later_one_on_the_new_has_passed_is_not_sent_again,
        routes_of_one_alert_neither_wait_for_nor_pass_each_other,
        a_route_that_is_added_neither_waits_nor_is_sent_everything_again,
        of_two_routes_that_are_merged_the_dead_one_is_revived,
        what_died_on_a_route_that_another_has_replaced_is_not_revived,
    ]
    second_chances: [
        a_re_sent_dead_event_revives_the_same_delivery_with_its_record,
        a_re_send_revives_once_and_a_person_as_often_as_they_like,
        a_dead_one_is_sent_again_on_request,
        one_that_a_later_event_has_passed_is_sent_again_only_by_force,
        what_is_cancelled_ends_and_a_re_send_does_not_bring_it_back,
        what_killed_the_server_or_was_cancelled_does_not_run_again_once_it_was_removed,
        what_a_person_sent_again_has_reminders_though_it_was_cancelled_before,
    ]
    lost_answers: [
        what_is_accepted_is_stored_once_or_its_sender_is_to_try_again,
        a_lease_ends_once,
        calls_are_recorded_once,
        state_changes_once,
        a_death_of_the_server_is_counted_once,
    ]
    reasons: [
        each_ending_has_its_reason_and_is_listed_by_it,
        a_reason_goes_with_the_end_that_it_is_of,
        what_a_person_cancelled_is_no_dead_letter_and_can_be_sent_again,
        a_reason_and_a_state_that_do_not_go_together_list_nothing,
        dead_ones_are_retried_by_their_reason_or_by_a_part_of_its_text,
    ]
    retention: [
        what_was_settled_longer_ago_than_the_retention_goes_with_all_that_belongs_to_it,
        identifiers_go_on_after_the_newest_was_removed,
        an_event_is_remembered_for_seven_days_after_it_was_last_sent,
        a_store_that_is_too_large_loses_what_is_done_the_oldest_first,
        dead_letters_stay_while_anything_is_done,
        what_is_not_settled_never_goes,
    ]
    retry_many: [
        all_dead_ones_are_sent_again_in_their_order,
        many_are_sent_again_in_slices_with_other_work_between_them,
        many_leave_room_for_what_is_new_and_the_rest_is_sent_when_there_is_some,
        those_that_a_later_event_has_passed_are_left_and_counted,
        one_that_fails_to_be_stored_is_left_with_the_reason,
        what_a_person_has_cancelled_is_not_among_the_many,
        what_waited_when_it_was_selected_and_has_died_since_is_left,
        many_of_which_few_have_the_labels_are_looked_at_to_the_end,
    ]
    together: [
        a_resolved_that_is_sent_again_together_with_its_firing_runs_after_it,
        what_is_sent_again_this_very_moment_cannot_be_cancelled_yet,
        what_a_person_makes_due_as_it_is_leased_is_due_in_every_step,
        one_that_cannot_be_read_is_its_own_error_and_nobody_else_s,
        a_lease_that_another_server_has_taken_stores_nothing_and_spoils_no_neighbour,
    ]
    suspects: [
        one_that_kills_the_server_ends_dead_and_twenty_beside_it_end_done,
        twenty_that_kill_the_server_end_dead_and_twenty_among_them_end_done,
        what_killed_the_server_stays_dead_until_a_person_sends_it_again,
        slow_suspects_do_not_hide_the_one_that_is_to_blame,
        a_server_that_is_killed_while_it_starts_blames_nothing,
        deaths_add_up_though_leases_between_them_ended_in_order,
    ]
    faults: [
        a_store_that_cannot_be_written_refuses_alerts_keeps_settlements_and_heals_by_itself,
        what_cannot_be_leased_now_is_leased_when_the_store_can_be_written_again,
        a_record_waits_until_the_store_can_be_written_again,
        of_a_body_that_fails_in_the_middle_nothing_is_remembered,
        questions_are_answered_while_the_writer_is_in_a_transaction,
        a_retry_waits_no_longer_because_the_time_of_day_was_set_back,
    ]
    gates: [
        a_parked_delivery_holds_no_slot_no_attempt_and_no_token,
        one_that_becomes_too_old_at_a_gate_is_leased_before_its_turn,
        a_rate_that_is_changed_counts_for_what_waits,
        a_parked_delivery_gets_its_slot_first_then_all_tokens_together,
        an_unused_token_goes_to_the_next_in_line_after_two_seconds,
        retry_after_closes_a_gate_for_all_and_survives_a_restart,
        a_gate_is_closed_for_an_hour_at_most,
        a_kill_at_each_step_loses_nothing_and_blames_no_parked_delivery,
        an_orderly_end_keeps_what_is_parked_as_it_is,
        a_critical_one_on_a_busy_channel_is_the_next_that_is_posted,
        an_ordering_key_has_the_highest_priority_that_waits_on_it,
        of_updates_of_one_message_one_waits_and_the_latest_wins,
        after_a_kill_the_latest_update_of_a_message_wins_whoever_asks_first,
        an_update_that_was_sent_is_not_overwritten_after_a_kill_by_an_earlier_one,
        an_update_is_as_late_as_what_it_was_made_of_though_the_server_dies_before_it_waits,
        a_parked_delivery_can_be_cancelled_and_needs_no_retry,
        another_step_of_a_parked_delivery_runs_when_it_is_due_or_its_dependency_is_back,
        what_was_read_before_it_was_parked_is_on_record,
        a_turn_that_cannot_be_stored_comes_again,
        what_waits_is_seen_by_priority_and_since_when,
        an_eighth_of_the_slots_is_for_critical_ones,
    ]
    dead_letter_reports: [
        a_death_and_its_notice_are_stored_together_or_not_at_all,
        a_notice_is_made_once_whatever_comes_after_it,
        neither_a_cancelled_one_nor_a_dead_notice_is_reported,
        a_storm_of_deaths_is_a_few_notices_and_all_are_counted,
        what_died_while_nobody_was_to_be_notified_is_reported_once_somebody_is,
        a_notice_waits_until_there_is_room_for_it,
        what_is_reported_together_survives_a_transaction_that_fails,
        one_that_is_sent_again_before_its_report_is_reported_when_it_dies_again,
        a_failure_after_a_death_by_backlog_is_reported_and_may_be_sent_again,
        a_notice_has_the_priority_of_the_delivery_that_it_is_about,
        a_notice_about_many_is_as_urgent_as_the_most_urgent_of_them,
    ]
    dead_letter_ways: [
        a_notice_that_dies_takes_each_other_way_once_and_then_the_log,
        a_notice_dies_and_takes_its_next_way_in_one_transaction,
        a_notice_under_which_the_server_died_takes_its_next_way,
        a_blocked_way_is_left_out_unless_all_are_blocked,
        who_was_notified_by_one_of_two_handlers_is_not_notified_again,
        a_handler_that_does_nothing_on_another_way_has_notified_nobody,
        nothing_is_forwarded_that_a_person_cancelled_or_has_retried_in_vain,
        what_is_done_without_an_effect_counts_only_if_all_that_were_named_are,
        of_ways_that_are_all_blocked_one_is_taken_until_another_is_free,
        other_handlers_are_another_way_also_under_the_same_route,
        a_notice_that_did_nothing_waits_for_room_on_its_next_way,
        a_retry_of_many_leaves_notices_out,
    ]
    dead_letter_ends: [
        what_was_reported_and_is_done_after_all_is_resolved_where_it_was_reported,
        a_death_and_the_end_of_its_notice_are_one_transaction_with_what_ends_it,
        what_is_cancelled_after_a_retry_is_resolved_too,
        a_notice_that_waits_is_out_of_date_once_its_delivery_was_sent_again,
        a_re_send_leaves_a_notice_in_force_until_it_is_done,
        the_end_of_a_notice_waits_for_room,
        each_of_many_notices_about_one_delivery_is_resolved,
    ]
    alarms: [
        an_alarm_is_raised_once_over_restarts_and_ends,
        the_end_of_an_alarm_waits_for_room,
        an_alarm_that_ends_while_its_next_way_has_no_room_does_not_take_it,
        an_alarm_that_was_reported_on_two_ways_ends_on_both_when_there_is_room,
        an_alarm_that_has_ended_may_fire_again_under_the_same_start,
        the_alarms_that_fire_are_known_after_a_restart_even_if_a_sender_sends_the_same_alert,
    ]
    settled: [
        what_is_settled_is_reported_in_order_as_it_is_listed,
        a_transaction_that_fails_reports_nothing,
        reports_that_nobody_takes_are_counted,
    ]
    storm_forming: [
        what_is_alike_runs_as_one_if_more_came_than_it_may,
        as_many_as_may_come_each_run_alone,
        what_comes_more_slowly_runs_alone,
        what_runs_already_goes_on_alone_and_the_rest_runs_as_one,
        another_key_route_pipeline_or_priority_is_apart,
        a_pipeline_that_runs_for_each_alert_does_so_in_a_storm,
        only_the_first_of_an_ordering_key_runs_with_the_others,
        neither_what_was_sent_again_nor_what_has_begun_runs_with_the_others,
        a_representative_is_given_facts_that_stay_as_they_are,
        what_comes_while_a_generation_runs_is_the_next_of_the_same_storm,
        after_ten_quiet_minutes_a_firing_runs_alone,
        more_than_five_thousand_are_several_generations,
        storms_can_be_switched_off_and_on,
        reminders_of_what_was_notified_alone_run_alone_and_make_no_storm,
        what_nobody_was_notified_of_may_be_a_storm_when_it_comes_again,
        one_that_waits_for_the_end_of_a_generation_says_so,
    ]
    storm_gates: [
        what_is_parked_without_an_effect_runs_as_one,
        what_is_parked_with_an_effect_or_a_doubt_runs_alone,
        over_a_restart_only_what_was_parked_without_an_effect_runs_as_one,
        a_representative_that_is_parked_keeps_what_it_stands_for,
        if_too_much_waits_at_one_gate_it_runs_as_one_whatever_its_labels,
        as_much_as_may_wait_at_a_gate_passes_one_by_one,
        what_waits_to_update_a_message_does_so_by_itself,
        at_a_gate_critical_ones_are_apart,
        a_member_that_is_cancelled_when_its_gate_has_a_turn_is_not_part_of_that,
        representatives_that_wait_at_a_gate_bring_what_they_stand_for,
        what_waits_at_a_gate_runs_as_one_only_if_that_is_stored,
        what_waits_behind_a_generation_at_a_gate_does_so_if_a_turn_cannot_be_stored,
        an_earlier_generation_does_not_update_a_message_after_a_later_one,
    ]
    storm_members: [
        members_are_done_with_their_representative_and_say_so,
        a_representative_is_as_urgent_as_what_waits_for_its_members,
        no_member_is_done_while_its_representative_is_not,
        a_member_holds_its_ordering_key_until_its_representative_ends,
        members_end_in_the_transaction_of_their_representative,
        a_generation_that_cannot_be_stored_is_formed_when_it_can,
        a_member_says_where_it_went_though_that_was_removed,
        a_lease_of_a_representative_that_another_server_took_ends_no_member,
    ]
    storm_deaths: [
        one_that_dies_without_an_effect_dies_alone_and_the_next_takes_over,
        three_take_over_at_most_then_the_rest_is_dead_in_one_dead_letter,
        firing_and_resolved_generations_each_count_their_own_takeovers,
        a_generation_that_a_person_sends_again_has_its_takeovers_anew,
        a_dead_letter_says_how_many_died_with_it,
        one_that_dies_with_an_effect_takes_all_with_it,
        one_that_dies_in_doubt_takes_all_with_it,
        one_that_dies_of_its_age_takes_all_with_it,
        one_under_which_the_server_died_three_times_takes_all_with_it,
        what_ends_the_alert_of_one_that_died_alone_runs_alone,
        what_passes_its_age_is_reported_by_what_it_waited_for,
    ]
    storm_people: [
        to_send_a_dead_representative_again_revives_all_with_journal_and_facts,
        a_dead_member_that_is_sent_again_runs_alone,
        all_that_is_dead_is_sent_again_as_one,
        what_is_sent_again_as_one_has_room_for_all_of_it,
        generations_of_one_storm_that_are_sent_again_run_one_after_the_other,
        what_is_older_than_what_stood_for_it_is_sent_again_with_that,
        a_dead_member_that_its_sender_sends_again_revives_all,
        to_cancel_a_representative_passes_its_role_on,
        to_cancel_one_with_an_effect_ends_what_it_stands_for,
        to_cancel_one_in_doubt_leaves_one_dead_letter_for_what_it_stood_for,
        what_a_lookup_has_changed_tells_nobody,
        one_that_was_cancelled_as_the_server_died_leaves_what_it_stood_for_dead,
        a_member_that_is_cancelled_leaves_the_others,
        an_open_member_is_not_sent_again,
        what_is_sent_again_as_one_and_what_waits_as_one_do_not_wait_for_each_other,
        what_ends_the_alert_of_a_member_that_was_cancelled_leaves_with_it,
        what_left_its_storm_is_back_there_if_that_is_not_stored,
    ]
    storm_resolves: [
        what_has_resolved_of_a_storm_runs_as_one_and_counts,
        even_one_that_has_resolved_alone_is_given_the_facts_of_its_storm,
        what_resolves_before_its_firing_runs_belongs_to_the_storm_of_that,
        what_ran_alone_resolves_alone,
        one_generation_of_what_has_resolved_runs_at_a_time,
        a_storm_is_closed_after_ten_quiet_minutes_once_all_have_resolved,
        a_storm_of_which_something_fires_stays_open_for_a_day,
        a_storm_is_not_closed_while_what_belongs_to_it_waits_or_runs,
        a_firing_that_waited_for_two_minutes_runs_with_its_resolved,
        one_that_waited_less_or_has_run_does_not,
        a_resolved_that_dies_takes_the_firing_with_it_and_one_that_is_cancelled_does_not,
        a_firing_that_is_coalesced_into_its_resolved_is_so_only_if_that_is_stored,
        a_reminder_of_what_fired_in_a_storm_belongs_to_it_and_counts_once,
        what_fires_in_a_storm_runs_as_one_however_late_its_resolved_comes,
        what_waits_with_many_at_a_gate_runs_as_one_however_late_its_resolved_comes,
        what_resolves_with_other_handlers_runs_with_those,
        a_late_firing_does_not_run_with_a_resolved_that_has_other_handlers,
        what_fired_in_a_storm_resolves_there_though_its_configuration_has_changed,
        what_has_resolved_counts_once_though_it_dies_and_is_sent_again,
    ]
    storm_restarts: [
        a_storm_goes_on_after_a_kill_at_each_step,
        what_came_before_a_kill_counts_after_it,
        what_has_resolved_goes_on_after_a_kill_as_one,
        what_counts_in_a_storm_counts_once_over_a_kill,
        what_waits_at_a_gate_counts_once_however_often_the_server_is_killed,
    ]
    audit: [
        what_people_did_is_found_after_a_kill_by_time_kind_person_and_subject,
        the_audit_log_goes_after_ninety_days,
    ]
    activity: [
        what_is_received_is_counted_by_its_result_and_by_route,
        what_has_ended_is_counted_by_reason_and_handler_with_its_time,
        what_a_crash_or_a_backlog_has_ended_is_counted,
        a_transaction_that_fails_counts_nothing,
        minutes_become_hours_after_two_days_and_hours_go_after_ninety,
        what_is_gathered_is_written_soon_and_before_the_store_is_closed,
        when_a_route_was_used_last_is_known_over_minutes_and_hours,
        what_is_counted_of_a_handler_is_read_alone,
        what_is_counted_is_read_before_it_is_written,
    ]
    timers: [
        a_timer_calls_act_alone_with_what_was_found_when_it_was_set,
        a_timer_is_set_together_with_its_record_and_runs_once_over_kills,
        the_same_key_replaces_and_cancelling_what_is_not_there_changes_nothing,
        a_later_delivery_of_the_alert_cancels_it_and_other_handlers_have_their_own,
        open_timers_are_limited_by_count_and_by_bytes,
        timers_wait_for_each_other_and_not_for_the_alert_nor_it_for_them,
        timers_of_other_handlers_on_the_same_route_do_not_wait,
        timers_that_are_due_beyond_half_of_the_queue_wait_and_none_of_them_dies,
        what_a_handler_has_open_is_counted_anew_after_each_end,
        timers_on_other_routes_of_the_alert_do_not_wait,
        a_timer_outlives_the_delivery_that_has_set_it_and_what_became_of_it,
        what_a_person_cancels_has_its_timers_cancelled,
        a_timer_that_dies_is_a_dead_letter_that_a_person_can_send_again,
        timers_are_not_coalesced_in_a_storm,
        a_timer_waits_no_longer_because_the_time_of_day_was_set,
        a_timer_that_cannot_be_stored_as_a_delivery_stays_due,
    ]
    grants: [
        uses_of_grants_outlive_a_restart_and_a_kill,
        a_write_that_fails_keeps_uses_for_the_next,
    ]
    history: [
        earlier_occurrences_are_found_by_the_labels_that_are_named,
        only_what_began_within_the_time_is_found,
        each_occurrence_counts_once_however_often_it_was_sent_and_on_how_many_routes,
        a_second_occurrence_with_the_same_start_is_one_of_its_own,
        a_handler_finds_what_its_routes_had_and_no_other,
        at_most_fifty_are_listed_and_all_are_counted,
        it_outlives_its_delivery_by_far_and_goes_after_ninety_days,
        what_a_transaction_that_fails_has_begun_is_not_in_it,
    ]
    shared: [
        a_resolved_on_one_server_does_not_overtake_its_firing_on_another,
        a_store_whose_clock_is_ahead_hurries_nothing,
        what_a_fail_over_has_lost_is_accepted_again,
    ]
    model: [
        the_queue_does_what_its_model_does,
        a_storm_keeps_its_promises_in_any_order,
    ]
}
