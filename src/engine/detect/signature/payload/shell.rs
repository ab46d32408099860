//! Commands of shells, on Unix and Windows, and look-ups of logging libraries.

use super::{Class, Pattern, every, shell, target};

/// Programs whose names are no words of everyday language.
macro_rules! programs {
    () => {
        "(?:ifconfig|ipconfig|netstat|whoami|uname|wget|curl|chmod|chown|nslookup|powershell|pwsh|certutil|\
         bitsadmin|mshta|regedit|regsvr32|rundll32|wmic|cscript|wscript|bash|zsh|ksh|csh|dash|busybox|nohup|strace|\
         ltrace|crontab|useradd|adduser|usermod|tcpdump|netcat|ncat|socat|lwp-download|lwp-request|traceroute|\
         printenv|htop|lastlog|aptitude|apt-get|gcc|cpp|c89|c99|gdb|vim|visudo|sudo|systeminfo|tasklist|taskkill|\
         lsof|gunzip|unxz|bunzip2|gzip|xz|rsync|sshpass|ssh-copy-id|scp|telnet|cscli|ansible(?:-[a-z]+)?|\
         chef-[a-z]+|cpulimit|flock|uconv|nc|egrep|fgrep|awk|gawk|sed|dig|xxd|mkfifo|lynx|printf|iptables|\
         systemctl|journalctl|getent|hostnamectl|ps|ls|rm|cp|mv|id|pwd)"
    };
}

/// Programs whose names are words, too.
macro_rules! words {
    () => {
        "(?:cat|env|who|dir|echo|sh|set|ping(?:\\.exe)?|kill|killall|sleep|type|sort|more|less|head|tail|find|cut|\
         date|time|top|at|w|host|ftp|zip|unzip|tar|mail|last|touch|mount|test|true|false|perl|python[23]?|ruby|\
         php[578]?|node|lua|vi|ex|ed|nmap|grep|make|man|nice|tee|wc|od|strings|base64|reboot|shutdown|halt|fetch|\
         ll|git|docker|perf|chef|pipx?3?|npm|java|cmd|net|del|copy|move|ren|start|call|reg|rar|jar|rc|alias|export)"
    };
}

/// Folders of programs.
macro_rules! bin {
    () => {
        r"(?:/?(?:usr/)?(?:local/)?s?bin/)"
    };
}

pub(super) const PATTERNS: &[Pattern] = &[
    every(
        Class::Jndi,
        &["jndi", "${"],
        r"\$\{[^\x01]{0,80}?jndi ?:|\{jndi:|\$\{[^\x01]{0,200}?(?:::-|:-)[a-z]?\}[^\x01]{0,120}?(?:ldaps?|rmi|dns|iiop|nis|corba)|\$\{(?:lower|upper|env|sys|base64|date|ctx|main|hostname|java|bundle|docker|k8s|web)\b ?:",
    ),
    target(
        Class::Rce,
        &[";", "|", "`", "\n", "&", "$("],
        concat!(
            r"(?:[;|`\n]|&&?|\$\() ?(?:[;|&`(] ?)*",
            bin!(),
            r"?",
            programs!(),
            r"(?:(?: ?[;|&`)<>'\x22]| ?\x01| ?$)| -{1,2}\w| +[/~$\\]| \S+\.\w| +https?:| +\d)"
        ),
    ),
    shell(
        Class::Rce,
        &[";", "|", "`", "\n", "&", "$(", "="],
        concat!(
            r"(?:[;|`\n]|&&|\$\() ?(?:[;|&`(] ?)*",
            bin!(),
            r"?",
            words!(),
            r"(?:[;|&`)<>]| -{1,2}\w| +[/~\\]| +\w*\.\w| +\d+\.| +(?:\w+ )?[;|&<>])"
        ),
    ),
    target(
        Class::Rce,
        &[";", "|", "`", "\n", "&", "$("],
        r"[;|`\n&](?:[|&`(;] ?)*(?:cat|env|who|dir|set|sh|w|true|false|ping|sleep)(?:[;|&`)'\x22]|\x01|$)[;|&`)'\x22]?(?:\x01|$)|(?:^|\x02)[^\x01\x02;|`&]{0,20}[;|`&] ?(?:cat|env|who|set|sh|id|ls|ps)\b ?(?:\x01|$|['\x22;|&`])",
    ),
    shell(
        Class::Rce,
        &["bin/"],
        concat!(
            r"(?:^|[\s\x02;|&`'\x22(=,])",
            r"(?:/(?:usr/)?(?:local/)?s?bin/[a-z\[?*]|(?:usr/(?:local/)?)?s?bin/(?:\w+(?:\x01|$| -)))"
        ),
    ),
    shell(
        Class::Rce,
        &[
            "cat ", "ls ", "rm ", "curl ", "wget ", "ping ", "echo ", "nc ", "bash ", "sh ",
            "perl ", "python", "php ", "chmod ", "uname ", "tar ", "dir ", "find ", "grep ",
            "kill ", "scp ", "sudo ", "nohup ", "strace ", "time ", "env ", "sed ", "awk ", "dig ",
            "type ",
        ],
        r"(?:^|[\x02 ;|&`(=>'\x22])(?:cat|ls|rm|curl|wget|ping|nc|bash|sh|perl|python[23]?|php|chmod|uname|tar|dir|find|grep|kill|scp|sudo|nohup|strace|time|env|sed|awk|dig)(?: -{1,2}[\w-]+)+(?: [^ \x01]+)+|\x02(?:cat|ls|rm|curl|wget|nc|scp|dig|chmod|sudo|find|type|tail|head|nohup|strace|time|env) +(?:/\w|\.{0,2}/|https?://|\S+\.\S+ ?(?:\||;|>)|[a-z]:\\)|\x02(?:nohup|strace|time|sudo|env) +(?:whoami|ifconfig|curl|wget|id|uname|bash|netstat)\b",
    ),
    target(
        Class::Rce,
        &[
            "cmd\u{2}",
            "exec\u{2}",
            "execute\u{2}",
            "command\u{2}",
            "shell\u{2}",
            "system\u{2}",
            "daemon\u{2}",
        ],
        concat!(
            r"\x01(?:cmd|exec|execute|command|shell|system|daemon|_exec|do_exec)\x02 ?",
            bin!(),
            "?",
            programs!(),
            r"\b|\x01(?:cmd|exec|execute|command)\x02 ?(?:cat|dir|echo|ping|sh|env|python|perl|php|type|net|find|grep|set|export|more|less|head|tail)(?: |;|\||\x01|$)"
        ),
    ),
    target(Class::Rce, &["$("], r"\$\( ?(?:[a-z/(<$]|\)\))[^\x01)]*\)?|\$\(\("),
    target(
        Class::Rce,
        &["${", "$["],
        r"\$\{(?:[#@:!*`]|\$|ifs|path\b|shell\b|home\b|\w+ ?[#%/^]|'|\x22|_\.)|\$\[\w|\$\[\]|\$\{cmd",
    ),
    target(
        Class::Rce,
        &["`"],
        concat!(r"` ?", bin!(), r"?(?:", programs!(), "|", words!(), r")\b[^`\x01]*`|`\w+\$\{?ifs"),
    ),
    target(
        Class::Rce,
        &["<(", ">(", "<<<"],
        r"[<>]\( ?(?:cat|tee|curl|wget|echo|base64|ls|id)\b|<<<",
    ),
    every(
        Class::Rce,
        &["() {", "(){", "()  {", "() {"],
        r"\(\) ?\{[^\x01]{0,10}[;:|&]|[\w:.]+ ?\(\) ?\{ ?[\w:.]+(?:\(\))? ?[|&]",
    ),
    every(
        Class::Rce,
        &[
            "/dev/tcp",
            "/dev/udp",
            "| sh",
            "|sh",
            "| bash",
            "|bash",
            "base64 -",
            "chmod ",
            "wget http",
            "curl http",
            "curl -o",
            "lwp-download http",
            "rm -rf",
            "cd /tmp",
            "/tmp;",
        ],
        r"/dev/(?:tcp|udp)/|\| ?(?:ba|z|k|da|c)?sh\b|\bbase64 (?:-d|--d)|[;&|] ?chmod [+\d]|(?:wget|curl|lwp-download)(?: -\S+)* https?://|curl -o |\brm -rf\b|\bcd /tmp\b",
    ),
    target(Class::Rce, &["alias "], r"\x02alias (?:[-+]\w+\+? )?['\x22]?[\w.-]+['\x22]?="),
    target(
        Class::Rce,
        &["{,", "{cat", "{ls", "{id", "{echo", "{/", "{curl", "{wget"],
        r"\{,?(?:cat|ls|id|echo|cd|curl|wget|sh|bash|\$['\x22]|/[a-z?*]),?[^}\x01]*,?[^}\x01]*\}",
    ),
    target(Class::Rce, &["~+", "~-", "!-"], r"\x02 ?~[+-]\d* ?(?:\x01|$)|\x02!-\d+"),
    shell(
        Class::Rce,
        &["?", "*", "["],
        r"/(?:[e?*\[][^/\x01 ]{0,12}[t?*\]][^/\x01 ]{0,4}[c?*\]]|[b?*][i?*][n?*]|[u?*][s?*][r?*])/(?:[\w\]\[?*!/-]*[?*\[][^\x01]*)|/(?:e[t?*\[][^/\x01 ]{0,6}[?*\]]?[^/\x01 ]{0,4}|etc|\[[a-z]/*\]tc|[?][s?][?])/[^\x01 ]*[?*\[]|/\[\w/{2,}\]|\[\w/{2,}\]\w",
    ),
    shell(
        Class::Rce,
        &["for ", "if ", "if/i"],
        r"(?:^|[\x02;&|]) ?@?for (?:/[dflr] ?)*(?:\x22[^\x22\x01]*\x22 |[^ \x01]+ (?:[^ \x01]+ )?)?%+[^ \x01]* ?in ?\(|[\x02;&|] ?if ?(?:/i ?)?(?:not ?)?(?:exist|defined|errorlevel|cmdextversion)\b|[\x02;&|] ?if ?(?:/i ?)?(?:not ?)?[^\x01]{1,40}?(?:==+| (?:equ|neq|lss|leq|gtr|geq) )",
    ),
    target(
        Class::Rce,
        &["for ", "if "],
        r"\x02 ?for (?:/[dflr] )*[^\x01]{0,60}%+[^ \x01]{0,12} +in +\(|\x02 ?if [^\x01]{0,60}?(?:%~?\w+%?['\x22]? ?(?:==| (?:equ|neq|lss|leq|gtr|geq) )|\(?\d+\)? (?:equ|neq|lss|leq|gtr|geq) )",
    ),
    every(
        Class::Rce,
        &[
            "cmd /",
            "cmd.exe",
            "cmd/",
            "powershell",
            "invoke-",
            "iex",
            "new-object",
            "encodedcommand",
            "%system",
            "%comspec",
            "%windir",
            "certutil",
            "bitsadmin",
            "mshta",
            "rundll32",
            "regsvr32",
            "dir c:",
            "dir+c:",
            "net user",
            "type c:",
            ".ps1",
        ],
        r"\bcmd(?:\.exe)? ?/[ckr]\b|\bpowershell(?:\.exe)? +(?:-\w|[a-z]:\\|\S*\()|\binvoke-(?:webrequest|expression|command|restmethod|item)\b|\biex ?\(|\bnew-object (?:net|system|io)\.|-encodedcommand\b|%(?:systemdrive|systemroot|comspec|windir)%|\bcertutil(?:\.exe)? -|\bbitsadmin /|\bmshta(?:\.exe)? (?:https?|javascript|vbscript)|\brundll32(?:\.exe)? \w|\bregsvr32(?:\.exe)? /|\bdir[ +]+[c-e]:|\bnet user \w+|\btype [a-z]:\\",
    ),
    // a field that begins as no agent and no address does
    every(
        Class::Rce,
        &[";", "|", "`", "&"],
        concat!(r"^ ?[;|`&][;|`& ]*", bin!(), r"?(?:", programs!(), "|", words!(), r")\b"),
    ),
    target(
        Class::Rce,
        &[";", "|", "`", "&&"],
        concat!(r"(?:[;|`]|&&)", bin!(), "?", programs!(), r" +[^ \x01]"),
    ),
    every(
        Class::Rce,
        &["sh -c", "$shell", "${shell}", " sh,-c"],
        r"(?:^|[\x02 ;|&`(=/])(?:\$\{?shell\}?|(?:ba|z|k|c|da|tc|a)?sh) -c\b|\bsh,-c,|\x02\$\{?shell\b",
    ),
    target(
        Class::Rce,
        &["ping"],
        r"\x02 ?ping(?:\.exe)? (?:-\w+ (?:\d+ )?)?\d{1,3}(?:\.\d{1,3}){3}",
    ),
    shell(
        Class::Traversal,
        &["/etc/", "/bin/"],
        r"(?:^|[\x02 ;|&`(<>=])/+etc/+(?:passwd|shadow|hosts|group)\b|(?:^|[\x02 ;|&`(<>=])/+bin/+(?:ba|z|k|c|da)?sh\b",
    ),
];
