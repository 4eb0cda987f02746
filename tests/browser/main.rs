//! The page in Chromium: what it looks like, what the keyboard and the script do, what a browser lets nobody do.
//!
//! The tests are a program of their own, since browsers load the machine: `cargo test` runs it while no other test runs. Its
//! tests share the driver of the browsers (`driver.rs`) and a day on a real server (`day.rs`). Pictures of all views are left
//! in `target/pictures`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod access;
mod day;
mod driver;
mod hostile;
mod keys;
mod live;
mod looks;
mod past;
mod plain;
mod webdriver;

use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

use day::Day;
use driver::{Browser, Driver, Look};

/// What the tests share.
struct World {
    driver: Driver,
    day: OnceCell<Day>,
}

impl World {
    /// Opens a browser.
    async fn browser(&self, look: Look) -> Browser {
        self.driver.browser(look).await
    }

    /// Returns the day, which the first test that asks lives through.
    async fn day(&self) -> &Day {
        self.day.get_or_init(Day::live_through).await
    }
}

type Running<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
type Test = for<'a> fn(&'a World) -> Running<'a>;

macro_rules! tests {
    ($($module:ident::$name:ident),+ $(,)?) => {
        vec![$((concat!(stringify!($module), "::", stringify!($name)), |world| Box::pin($module::$name(world)))),+]
    };
}

fn tests() -> Vec<(&'static str, Test)> {
    tests![
        looks::every_view_is_whole_in_light_and_dark_on_a_desk_and_on_a_phone,
        looks::every_view_can_be_used_by_everybody,
        looks::a_printed_view_has_nothing_to_click,
        plain::everything_can_be_used_without_a_script,
        plain::a_dead_delivery_is_retried_from_the_page,
        keys::the_keys_filter_move_open_select_and_retry,
        keys::the_tab_key_reaches_everything_in_order_and_shows_where_it_is,
        live::a_new_alert_arrives_and_waits_while_somebody_reads,
        live::a_page_goes_on_after_the_server_was_killed,
        live::a_list_follows_though_it_is_empty_and_is_emptied,
        live::a_delivery_gets_what_it_did_not_have_when_it_was_opened,
        live::a_tab_that_nobody_sees_holds_no_connection,
        access::a_token_is_exchanged_for_a_cookie_that_no_script_reads,
        access::a_link_of_another_page_arrives_signed_in,
        access::a_form_of_another_page_does_nothing,
        access::a_script_that_was_smuggled_in_does_not_run,
        hostile::text_from_outside_stays_text_and_in_its_place,
    ]
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Each has a browser with several processes, beside a server.
    arguments.test_threads.get_or_insert(1);
    let runtime = Runtime::new().expect("a runtime");
    let is_listing = arguments.list;
    let driver = (!is_listing).then(Driver::start);
    let (world, missing) = match driver {
        Some(Ok(driver)) => {
            let day = OnceCell::new();
            (Some(Arc::new(World { driver, day })), false)
        }
        Some(Err(missing)) => {
            // Where there is a network for certain, nothing is skipped.
            assert!(std::env::var_os("GITHUB_ACTIONS").is_none(), "{missing}");
            tests::skipped(&format!(
                "SKIPPED: the page was not tested in a browser: {missing}"
            ));
            (None, true)
        }
        None => (None, false),
    };
    let runtime = Arc::new(runtime);
    let trials = tests().into_iter().map(|(name, test)| {
        let (world, runtime) = (world.clone(), Arc::clone(&runtime));
        let run = move || {
            let world = world.expect("it is not ignored");
            runtime.block_on(test(&world));
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(missing)
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    drop(world);
    conclusion.exit_code()
}
