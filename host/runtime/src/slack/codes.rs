//! What each of Slack's error codes means, and what an answer says of the change that was asked for.
//!
//! Source: Slack's documentation of the errors of chat.postMessage, chat.update, reactions.add, auth.test and
//! conversations.info (docs.slack.dev/reference/methods).

use crate::outbound::change::Change;
use crate::slack::method::Method;

/// How a change that may have been made is reported to the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reported {
    /// As `timeout`: sent or not is unknown.
    AsTimeout,
    /// As `unavailable`.
    AsUnavailable,
}

/// What one of Slack's error codes means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// As good as done.
    AlreadyDone,
    /// Asked too often.
    RateLimited,
    /// Nothing happened, and the next try may succeed.
    Transient,
    /// Some of it may have happened.
    MayBeDone(Reported),
    /// Only the operator can help, who gives the token and owns the app: all of Slack is held. What to do.
    SlackRefused(&'static str),
    /// Only the operator or the owner of the channel can help: the channel is held. What to do.
    ChannelRefused(&'static str),
    /// Slack may take the text alone.
    BlocksRefused,
    /// The message to change is gone, or cannot be changed any more.
    Gone,
    /// Any other: the request is at fault. What to do.
    Other(&'static str),
}

const VALID_TOKEN: &str = "put a valid bot token into SLACK_TOKEN or slack.token_file";
const ALLOW_APP: &str = "ask an administrator of the workspace to let the app post";
const INVITE: &str = "invite the app's bot user into the channel: /invite @NAME";
const CORRECT: &str = "correct the channel below slack.channels";
const TABLE: &str = "see the errors of this method at https://docs.slack.dev/reference/methods";

/// Returns what a code means, of any method.
///
/// Every code that Slack documents for a method of [`Method`] has its line, but for those that say that the request is at
/// fault: they need one only if there is advice. An unknown code is taken for the request's fault, too.
pub(crate) fn meaning(code: &str) -> Meaning {
    use Meaning::{
        AlreadyDone, BlocksRefused, ChannelRefused, Gone, MayBeDone, Other, RateLimited,
        SlackRefused, Transient,
    };
    match code {
        "already_reacted" => AlreadyDone,
        "ratelimited" | "rate_limited" | "message_limit_exceeded" => RateLimited,
        // `request_timeout`: the body did not arrive whole. The next two: the workspace is being moved to an organization,
        // or the channel to another workspace. The last: the message is still being written.
        "service_unavailable"
        | "request_timeout"
        | "team_added_to_org"
        | "org_login_required"
        | "external_channel_migrating"
        | "streaming_state_conflict" => Transient,
        // Slack says of the first two: some aspect of the operation may have succeeded before the error was raised.
        "internal_error" | "update_failed" => MayBeDone(Reported::AsUnavailable),
        "fatal_error" => MayBeDone(Reported::AsTimeout),
        "invalid_auth"
        | "not_authed"
        | "account_inactive"
        | "token_revoked"
        | "token_expired"
        | "not_allowed_token_type" => SlackRefused(VALID_TOKEN),
        "missing_scope" => SlackRefused("give the app the scope chat:write, and install it again"),
        "accesslimited"
        | "ekm_access_denied"
        | "enterprise_is_restricted"
        | "two_factor_setup_required" => SlackRefused(ALLOW_APP),
        "deprecated_endpoint" | "method_deprecated" => SlackRefused(
            "install a newer version of Alert Manager: Slack has withdrawn this method",
        ),
        "channel_not_found" => ChannelRefused(
            "check the name or id below slack.channels; a private channel must have the app's bot user as a member: /invite @NAME",
        ),
        "not_in_channel" | "no_permission" => ChannelRefused(INVITE),
        "is_archived" | "is_inactive" => {
            ChannelRefused("unarchive the channel, or name another below slack.channels")
        }
        "restricted_action"
        | "restricted_action_read_only_channel"
        | "restricted_action_thread_only_channel" => ChannelRefused(
            "let the app post in the settings of the channel or the workspace, or name another channel below slack.channels",
        ),
        "access_denied" | "team_access_not_granted" => ChannelRefused(
            "install the app in the channel's workspace, and give it access to the channel",
        ),
        "channel_type_not_supported" | "messages_tab_disabled" => ChannelRefused(CORRECT),
        "invalid_blocks" | "invalid_blocks_format" | "msg_blocks_too_long" | "msg_too_long" => {
            BlocksRefused
        }
        "message_not_found"
        | "edit_window_closed"
        | "cant_update_message"
        | "block_mismatch"
        | "team_not_found" => Gone,
        "no_text" => Other("give the message a text"),
        "invalid_name" => Other("there is no such emoji in this workspace"),
        "restricted_action_non_threadable_channel" => Other("the channel takes no threads"),
        "restricted_action_thread_locked" | "thread_locked" => Other("the thread is locked"),
        "too_many_emoji" | "too_many_reactions" => {
            Other("the message has as many emoji as Slack allows")
        }
        _ => Other(TABLE),
    }
}

/// Returns what a code means as the answer of `method`.
///
/// An emoji is not worth a hold: what keeps the app from reacting need not keep it from posting.
pub(crate) fn meaning_for(method: Method, code: &str) -> Meaning {
    match (method, meaning(code)) {
        (Method::AddReaction, Meaning::ChannelRefused(advice)) => Meaning::Other(advice),
        (Method::AddReaction, Meaning::SlackRefused(_)) if code == "missing_scope" => {
            Meaning::Other("give the app the scope reactions:write, and install it again")
        }
        (_, meaning) => meaning,
    }
}

/// Returns what a status of Slack's, other than 2xx, says of the change. `says_when` is true if the answer has Retry-After.
pub(crate) fn change_of_status(status: u16, says_when: bool) -> Change {
    match status {
        // A redirect is not followed, and Slack's own answers are 200: the server that answered has posted nothing.
        300..500 => Change::Refused,
        status => Change::of_server_error(status, says_when),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slack::answer::failure;
    use Change::{Made, Refused, Unknown};

    #[test]
    fn each_status_of_slack_says_whether_the_change_was_made() {
        // Status, without and with Retry-After.
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

    /// The codes that Slack documents for its methods, by what they mean here.
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
    fn a_reaction_that_is_refused_holds_no_channel() {
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
