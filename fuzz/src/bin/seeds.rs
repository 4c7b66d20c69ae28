//! Writes the seeds of a target into a folder, each under a name that its bytes give: `seeds TARGET FOLDER`.

#![forbid(unsafe_code)]
#![allow(clippy::expect_used, reason = "a tool's message is its panic")]

use locally_fuzz::Target;

fn main() {
    let mut args = std::env::args().skip(1);
    let (name, folder) = (args.next().expect("a target's name"), args.next().expect("a folder"));
    let target = Target::find(&name).expect("a target");
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    for bytes in target.seeds() {
        let hash = bytes
            .iter()
            .fold(0xcbf2_9ce4_8422_2325u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        std::fs::write(format!("{folder}/seed-{hash:016x}"), bytes).expect("a seed can be written");
    }
}
