//! The meaning of Slack's error codes and HTTP statuses: what can be done about them, and whether the change may have been
//! made.
//!
//! Source: Slack's documentation of the errors of chat.postMessage, chat.update, reactions.add, auth.test and
//! conversations.info (docs.slack.dev/reference/methods).

use crate::outbound::change::Change;
use crate::slack::method::Method;

/// The error by which a handler learns that its change may have been made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reported {
    /// `timeout`.
    AsTimeout,
    /// `unavailable`.
    AsUnavailable,
}

/// The meaning of an error code. The text is what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The change had been made before: counts as a success.
    AlreadyDone,
    /// The rate limit was exceeded.
    RateLimited,
    /// Nothing was changed, and a retry may succeed.
    Transient,
    /// The change may have been made.
    MayBeDone(Reported),
    /// Only the operator can fix the token or the app: all of Slack is held.
    SlackRefused(&'static str),
    /// Only the operator or the channel's owner can fix the channel: it is held.
    ChannelRefused(&'static str),
    /// The blocks are refused; the text alone may be accepted.
    BlocksRefused,
    /// The message to change does not exist, or can no longer be changed.
    Gone,
    /// The request is at fault.
    Other(&'static str),
}

/// Slack's error codes by their meaning.
///
/// Every code that Slack documents for a method of [`Method`] is here, except those that say that the request is at fault:
/// they are here only if there is specific advice.
const CODES: [(Meaning, &[&str]); 22] = [
    (Meaning::AlreadyDone, &["already_reacted"]),
    (
        Meaning::RateLimited,
        &["ratelimited", "rate_limited", "message_limit_exceeded"],
    ),
    (
        Meaning::Transient,
        &[
            "service_unavailable",
            // The body did not arrive completely.
            "request_timeout",
            // The workspace is being moved to an organization.
            "team_added_to_org",
            "org_login_required",
            // The channel is being moved to another workspace.
            "external_channel_migrating",
            // The message is still being written.
            "streaming_state_conflict",
        ],
    ),
    (
        // Slack documents: some aspect of the operation may have succeeded before the error was raised.
        Meaning::MayBeDone(Reported::AsUnavailable),
        &["internal_error", "update_failed"],
    ),
    (Meaning::MayBeDone(Reported::AsTimeout), &["fatal_error"]),
    (
        Meaning::SlackRefused("put a valid bot token into SLACK_TOKEN or slack.token_file"),
        &[
            "invalid_auth",
            "not_authed",
            "account_inactive",
            "token_revoked",
            "token_expired",
            "not_allowed_token_type",
        ],
    ),
    (
        Meaning::SlackRefused("give the app the scope chat:write, and install it again"),
        &["missing_scope"],
    ),
    (
        Meaning::SlackRefused("ask an administrator of the workspace to let the app post"),
        &[
            "accesslimited",
            "ekm_access_denied",
            "enterprise_is_restricted",
            "two_factor_setup_required",
        ],
    ),
    (
        Meaning::SlackRefused(
            "install a newer version of Alert Manager: Slack has withdrawn this method",
        ),
        &["deprecated_endpoint", "method_deprecated"],
    ),
    (
        Meaning::ChannelRefused(
            "check the name or id below slack.channels; a private channel must have the app's bot user as a member: /invite @NAME",
        ),
        &["channel_not_found"],
    ),
    (
        Meaning::ChannelRefused("invite the app's bot user into the channel: /invite @NAME"),
        &["not_in_channel", "no_permission"],
    ),
    (
        Meaning::ChannelRefused("unarchive the channel, or name another below slack.channels"),
        &["is_archived", "is_inactive"],
    ),
    (
        Meaning::ChannelRefused(
            "let the app post in the settings of the channel or the workspace, or name another channel below slack.channels",
        ),
        &[
            "restricted_action",
            "restricted_action_read_only_channel",
            "restricted_action_thread_only_channel",
        ],
    ),
    (
        Meaning::ChannelRefused(
            "install the app in the channel's workspace, and give it access to the channel",
        ),
        &["access_denied", "team_access_not_granted"],
    ),
    (
        Meaning::ChannelRefused("correct the channel below slack.channels"),
        &["channel_type_not_supported", "messages_tab_disabled"],
    ),
    (
        Meaning::BlocksRefused,
        &[
            "invalid_blocks",
            "invalid_blocks_format",
            "msg_blocks_too_long",
            "msg_too_long",
        ],
    ),
    (
        Meaning::Gone,
        &[
            "message_not_found",
            "edit_window_closed",
            "cant_update_message",
            "block_mismatch",
            "team_not_found",
        ],
    ),
    (Meaning::Other("give the message a text"), &["no_text"]),
    (
        Meaning::Other("there is no such emoji in this workspace"),
        &["invalid_name"],
    ),
    (
        Meaning::Other("the channel takes no threads"),
        &["restricted_action_non_threadable_channel"],
    ),
    (
        Meaning::Other("the thread is locked"),
        &["restricted_action_thread_locked", "thread_locked"],
    ),
    (
        Meaning::Other("the message has as many emoji as Slack allows"),
        &["too_many_emoji", "too_many_reactions"],
    ),
];

/// Returns whether a check of a channel, which posts nothing, sees that this reason for which it was refused is gone.
pub(crate) fn is_seen_by_check(code: &str) -> bool {
    matches!(code, "not_in_channel" | "channel_not_found" | "is_archived")
}

/// Returns the meaning of a code, of any method. A code that is not in the table is treated as a fault of the request.
pub(crate) fn meaning(code: &str) -> Meaning {
    let mut meanings = CODES.iter();
    let known = meanings.find(|(_, codes)| codes.contains(&code));
    known.map_or(
        Meaning::Other("see the errors of this method at https://docs.slack.dev/reference/methods"),
        |(meaning, _)| *meaning,
    )
}

/// Returns the meaning of a code as the answer of `method`.
///
/// A failed reaction places no hold on a channel: the app may be able to post although it cannot react.
pub(crate) fn meaning_for(method: Method, code: &str) -> Meaning {
    match (method, meaning(code)) {
        (Method::AddReaction, Meaning::ChannelRefused(advice)) => Meaning::Other(advice),
        (Method::AddReaction, Meaning::SlackRefused(_)) if code == "missing_scope" => {
            Meaning::Other("give the app the scope reactions:write, and install it again")
        }
        (_, meaning) => meaning,
    }
}

/// Returns whether the change was made, by an HTTP status other than 2xx. `says_when` is true if the answer has Retry-After.
pub(crate) fn change_of_status(status: u16, says_when: bool) -> Change {
    match status {
        // Slack's own answers have the status 200, and redirects are not followed: another server answered, and posted
        // nothing.
        300..500 => Change::Refused,
        status => Change::of_server_error(status, says_when),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::slack::answer::{failure, is_code};
    use crate::slack::outcome::SlackFailure;
    use Change::{Made, Refused, Unknown};

    #[test]
    fn each_status_of_slack_says_whether_the_change_was_made() {
        // The status, then the change without and with Retry-After.
        for (status, at_once, later) in [
            (101, Unknown, Unknown),
            (200, Unknown, Unknown),
            (202, Unknown, Unknown),
            (302, Refused, Refused),
            (304, Refused, Refused),
            (400, Refused, Refused),
            (401, Refused, Refused),
            (404, Refused, Refused),
            (408, Refused, Refused),
            (409, Refused, Refused),
            (425, Refused, Refused),
            (429, Refused, Refused),
            (500, Unknown, Unknown),
            (501, Refused, Refused),
            (502, Unknown, Unknown),
            (503, Unknown, Refused),
            (504, Unknown, Unknown),
            (505, Refused, Refused),
            (507, Unknown, Unknown),
            (511, Refused, Refused),
            (520, Unknown, Unknown),
            (599, Unknown, Unknown),
            (999, Unknown, Unknown),
        ] {
            for (says_when, expected) in [(false, at_once), (true, later)] {
                let change = change_of_status(status, says_when);
                assert_eq!(change, expected, "{status}, Retry-After: {says_when}");
            }
        }
    }

    /// The codes that Slack documents for its methods, by their meaning here.
    const DOCUMENTED: [(&str, &str); 9] = [
        ("done", "already_reacted"),
        ("rate", "ratelimited rate_limited message_limit_exceeded"),
        (
            "transient",
            "service_unavailable request_timeout team_added_to_org org_login_required external_channel_migrating \
             streaming_state_conflict",
        ),
        ("unknown", "internal_error fatal_error update_failed"),
        (
            "slack",
            "invalid_auth not_authed account_inactive token_revoked token_expired missing_scope not_allowed_token_type \
             accesslimited ekm_access_denied enterprise_is_restricted two_factor_setup_required deprecated_endpoint \
             method_deprecated",
        ),
        (
            "channel",
            "channel_not_found not_in_channel is_archived is_inactive restricted_action \
             restricted_action_read_only_channel restricted_action_thread_only_channel no_permission access_denied \
             team_access_not_granted messages_tab_disabled channel_type_not_supported",
        ),
        (
            "blocks",
            "invalid_blocks invalid_blocks_format msg_blocks_too_long msg_too_long",
        ),
        (
            "gone",
            "message_not_found edit_window_closed cant_update_message block_mismatch team_not_found",
        ),
        (
            "request",
            "no_text invalid_name no_item_specified bad_timestamp not_reactable no_access no_reaction thread_locked \
             too_many_emoji too_many_reactions file_not_found file_comment_not_found too_many_attachments \
             too_many_contact_cards invalid_attachments invalid_metadata_format invalid_metadata_schema \
             metadata_must_be_sent_from_app metadata_too_large markdown_text_conflict as_user_not_supported \
             cant_broadcast_message no_dual_broadcast_content_update cannot_reply_to_message \
             restricted_action_non_threadable_channel restricted_action_thread_locked duplicate_channel_not_found \
             duplicate_message_not_found slack_connect_canvas_sharing_blocked slack_connect_file_link_sharing_blocked \
             slack_connect_lists_sharing_blocked invalid_arguments invalid_arg_name invalid_array_arg invalid_charset \
             invalid_form_data invalid_post_type missing_post_type invalid_json json_not_object method_not_supported_for_channel_type \
             something_new",
        ),
    ];

    fn word(code: Meaning) -> &'static str {
        match code {
            Meaning::AlreadyDone => "done",
            Meaning::RateLimited => "rate",
            Meaning::Transient => "transient",
            Meaning::MayBeDone(_) => "unknown",
            Meaning::SlackRefused(_) => "slack",
            Meaning::ChannelRefused(_) => "channel",
            Meaning::BlocksRefused => "blocks",
            Meaning::Gone => "gone",
            Meaning::Other(_) => "request",
        }
    }

    #[test]
    fn each_code_of_slack_says_whether_the_change_was_made_and_what_can_be_done() {
        for (expected, codes) in DOCUMENTED {
            let change = match expected {
                "done" => Made,
                "unknown" => Unknown,
                _ => Refused,
            };
            for code in codes.split_whitespace() {
                assert_eq!(word(meaning(code)), expected, "{code}");
                let failed = failure(Method::PostMessage, code, "");
                assert_eq!(failed.map_or(Made, |f| f.change()), change, "{code}");
            }
        }
        assert_eq!(
            meaning("fatal_error"),
            Meaning::MayBeDone(Reported::AsTimeout)
        );
    }

    #[test]
    fn each_code_of_the_table_is_documented_and_has_the_meaning_of_its_only_line() {
        let documented: BTreeMap<&str, &str> = DOCUMENTED
            .into_iter()
            .flat_map(|(word, codes)| codes.split_whitespace().map(move |code| (code, word)))
            .collect();
        let mut seen = BTreeSet::new();
        for (expected, codes) in CODES {
            for code in codes {
                assert!(seen.insert(*code), "{code} has two lines");
                assert!(is_code(code), "{code}");
                assert_eq!(meaning(code), expected, "{code}");
                assert_eq!(documented.get(code), Some(&word(expected)), "{code}");
            }
        }
        for (code, word) in documented {
            let is_advised = seen.contains(code);
            assert!(is_advised || word == "request", "{code} has no line");
        }
    }

    #[test]
    fn each_code_leads_to_the_failure_of_its_meaning_for_each_method() {
        for (_, codes) in CODES {
            for code in codes {
                for method in [Method::PostMessage, Method::Update, Method::AddReaction] {
                    let meaning = meaning_for(method, code);
                    let failure = failure(method, code, "");
                    let is_expected = match &failure {
                        None => meaning == Meaning::AlreadyDone,
                        Some(SlackFailure::RateLimited(_)) => meaning == Meaning::RateLimited,
                        Some(SlackFailure::Unavailable(_)) => meaning == Meaning::Transient,
                        Some(SlackFailure::Unknown(_, reported)) => {
                            meaning == Meaning::MayBeDone(*reported)
                        }
                        Some(SlackFailure::SlackHeld { code: held, advice }) => {
                            held == code
                                && matches!(meaning, Meaning::SlackRefused(a) if a == advice)
                        }
                        Some(SlackFailure::ChannelHeld { code: held, advice }) => {
                            held == code
                                && matches!(meaning, Meaning::ChannelRefused(a) if a == advice)
                        }
                        Some(SlackFailure::NotFound) => meaning == Meaning::Gone,
                        Some(SlackFailure::Invalid(why)) => {
                            why.starts_with(code)
                                && match meaning {
                                    Meaning::Other(advice) => why.ends_with(advice),
                                    other => other == Meaning::BlocksRefused,
                                }
                        }
                    };
                    assert!(is_expected, "{method:?} {code}: {meaning:?}, {failure:?}");
                }
            }
        }
    }

    #[test]
    fn a_rejected_reaction_holds_no_channel() {
        for (code, expected) in [
            ("is_archived", "request"),
            ("missing_scope", "request"),
            ("invalid_auth", "slack"),
        ] {
            assert_eq!(word(meaning_for(Method::AddReaction, code)), expected);
        }
        for method in [Method::PostMessage, Method::Update] {
            assert_eq!(word(meaning_for(method, "is_archived")), "channel");
            assert_eq!(word(meaning_for(method, "missing_scope")), "slack");
        }
    }
}
