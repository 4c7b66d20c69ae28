//! Failures as the contract has them: one line, a hint, an exit code.

use locally_connected::Error;
use locally_connected_keras as keras;
use std::io::ErrorKind;
use std::process::ExitCode;

/// Exit code for a bad request or file.
const BAD_REQUEST: u8 = 2;
/// Exit code for what the machine couldn't do, and for a failed `verify`.
const MACHINE: u8 = 1;

/// Why a command couldn't do its work.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
    help: Option<String>,
}

impl Failure {
    /// A bad request or file.
    pub(crate) fn request(message: impl Into<String>) -> Self {
        Self { code: BAD_REQUEST, message: message.into(), help: None }
    }

    /// Something that the machine couldn't do, or a wrong result.
    pub(crate) fn machine(message: impl Into<String>) -> Self {
        Self { code: MACHINE, message: message.into(), help: None }
    }

    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Arguments that clap refused: the first paragraph of its message is the error, the rest is the hint.
    pub(crate) fn usage(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            return Self::request("no command given").with_help("`locally --help` lists the commands");
        }
        let mut paragraphs = text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty());
        let first = paragraphs.next().unwrap_or_default();
        // A list of arguments is one on each line, below what it is about.
        let message = first.trim_start_matches("error: ").lines().map(str::trim).collect::<Vec<_>>().join(" ");
        let mut help: Vec<String> = Vec::new();
        for paragraph in paragraphs {
            if let Some(tip) = paragraph.strip_prefix("tip: ") {
                help.push(tip.to_owned());
            } else if let Some(usage) = paragraph.strip_prefix("Usage: ") {
                help.push(format!("usage: {usage}"));
            }
        }
        help.push("`--help` says more".into());
        Self::request(message).with_help(help.join("; "))
    }

    /// Prints the message, the hint if there is one, and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        self.print();
        ExitCode::from(self.code)
    }

    fn print(&self) {
        use std::io::Write;
        let mut text = format!("error: {}\n", one_line(&self.message));
        if let Some(help) = &self.help {
            text.push_str(&format!("help: {}\n", one_line(help)));
        }
        // If standard error is closed, there is nowhere to say so.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
}

/// Text from files, such as layer names, must not break the line or control the terminal.
pub(crate) fn one_line(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error.cause() {
            Error::NoSuchAdapter { .. } => {
                Self::machine(message).with_help("leave out --adapter (and WGPU_ADAPTER_NAME), or name one of these")
            }
            Error::NoAdapter => Self::machine(message).with_help(
                "install a GPU driver, or a software adapter (Debian, Ubuntu: apt install mesa-vulkan-drivers)",
            ),
            Error::OutOfMemory { .. } => Self::machine(message).with_help("a smaller batch needs less"),
            Error::Limit { .. } => {
                Self::machine(message).with_help("`locally inspect MODEL` shows what each implementation needs")
            }
            Error::OverBudget { .. } => {
                Self::machine(message).with_help("implementations 1 and 3 need less memory than 2")
            }
            Error::NoBackend { .. } => {
                Self::machine(message).with_help("leave WGPU_BACKEND unset, or name one of these")
            }
            Error::Threads { .. } => Self::machine(message).with_help("--threads takes a smaller number"),
            Error::NotFinite { .. } => {
                Self::machine(message).with_help("a smaller --learning-rate, or clipnorm in --optimizer, may help")
            }
            Error::DeviceLost(_) | Error::Device(_) | Error::Shader { .. } => Self::machine(message),
            Error::PaddingNeedsOtherLayout { .. } => {
                Self::request(message).with_help("--implementation 2 and 3 have one")
            }
            _ => Self::request(message),
        }
    }
}

impl From<keras::Error> for Failure {
    fn from(error: keras::Error) -> Self {
        match error {
            keras::Error::Core(error) => error.into(),
            // A full disk is the machine's fault.
            keras::Error::Io { kind: ErrorKind::StorageFull, .. } => Self::machine(error.to_string()),
            error => Self::request(error.to_string()),
        }
    }
}

/// A bug must not print a backtrace, but one line and the exit code for the machine.
pub(crate) fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let what = text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("unknown");
        let place = info.location().map(|at| format!(" ({}:{})", at.file(), at.line())).unwrap_or_default();
        Failure::machine(format!("internal: {what}{place}"))
            .with_help("this is a bug in locally or in the GPU's driver; please report it")
            .print();
        std::process::exit(i32::from(MACHINE));
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_stay_on_one_line() {
        assert_eq!(one_line("a\n  b\t\u{1b}[31mc"), "a b [31mc");
    }
}
