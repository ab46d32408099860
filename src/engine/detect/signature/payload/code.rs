//! Code, objects and templates in the languages of the web.

use super::{Class, Pattern, every, target};

/// Functions of PHP that run, decode or open what they are given.
macro_rules! php {
    () => {
        "(?:system|exec|passthru|shell_exec|popen|proc_open|pcntl_exec|assert|create_function|call_user_func(?:_array)?|base64_decode|gzinflate|gzuncompress|str_rot13|file_get_contents|file_put_contents|fopen|fwrite|readfile|phpinfo|preg_replace|move_uploaded_file|unserialize|array_map|array_diff|strip_tags|unpack|intval|assert_options|ob_start|ini_set|set_time_limit|highlight_file|show_source|chr|substr|printf|eval)"
    };
}

pub(super) const PATTERNS: &[Pattern] = &[
    every(
        Class::Rce,
        &["<?", "<%", "[php]", "[/php]", "[\\php]", "{php}", "{/php}", "<!--#", "<!-- #"],
        r"<\?[ \n]?(?:php\b|=|echo\b|exec\b|system\b|eval\b|\w+ ?\(|\$|\x01|$)|<\?import\b|<\?xml[ \n]?(?::|\()|\[[/\\]?php\]|\{/?php\}|<%[=@! ]|<!-- ?#(?:exec|include|echo|set|printenv|config)\b",
    ),
    target(
        Class::Rce,
        &["$_", "$globals"],
        r"\$_(?:get|post|request|cookie|server|files|session|env)\b|\$globals ?\[",
    ),
    target(
        Class::Rce,
        &["(", "/*"],
        concat!(
            r"(?:^|[\x02/;@=(,{'\x22`!|&])",
            php!(),
            r"\((?:[^s\x01]|s[^)]|$)|[^\w.-]",
            php!(),
            r"\((?:['\x22$\d]|[\w_]+\()",
        ),
    ),
    target(
        Class::Rce,
        &["(", "(\n"],
        r"\x02@?(?:(?:exec|filegroup|fileperms|fopen|assert_options|passthru|phpinfo|popen)[ \n]*|(?:file|system)\n?)(?:(?:#|//)[^\n\x01]*\n ?)?\(|\b(?:pg|ldap|date|array|mb|posix|curl|ftp|mysqli?)_[a-z_]+ ?\(",
    ),
    target(
        Class::Rce,
        &["(", "return"],
        r"\(?['\x22(\[]+ ?(?:\x22)?(?:system|exec|passthru|eval|assert|shell_exec) ?['\x22)\]]+ ?(?:\[ ?0 ?\])? ?\)? ?\(|return ?['\x22](?:system|exec|passthru)['\x22]|\(string\)|['\x22]sys?['\x22] ?\. ?['\x22]|\(sy\.\(",
    ),
    target(
        Class::Rce,
        &["$"],
        r"\$+\{?@?(?:[a-z]\w*|_\w*)\}?(?: ?[\[{][^\x01]{1,24}?[\]}])*\n?\((?:[^)\x01]|\)(?:\x01|$|;))|\x02@?\$\w[^\x01(]{0,60} ?\(\d*\)|\x02\$ ?\{@|\w::\$\w+\(|@\$\w+ ?[(\[=]|\$\$+\w+\(",
    ),
    target(
        Class::Deserialization,
        &[
            "o:", "ro0ab", "aced0005", "kztaau", "cs7qaf", "gasv", "!!python", "!!javax", "_$$nd",
            "!ruby",
        ],
        r"\bo:\d{1,4}:['\x22][\w\\]+['\x22]:\d+:\{|[\x01\x02](?:ro0ab|kztaau|cs7qaf)[\w+/ ]|\x02aced0005|!!(?:python/object|javax\.script)|_\$\$nd_func|!ruby/object",
    ),
    every(
        Class::Rce,
        &[
            "java.",
            "javax.",
            "com.sun.",
            "org.apache.",
            "org.omg",
            "org.springframework",
            "com.opensymphony",
            "ognl",
            "#_memberaccess",
            "getruntime",
            "processbuilder",
            "classloader",
            "getclass",
            "forname",
            "t(java",
        ],
        r"(?:^|[\s\x01\x02({\x22'@$#=:,!])(?:java\.(?:lang\.(?:class|classloader|integer|number|object|process\w*|reflect|runtime|string\w*|system|thread|void|math|invoke)\b|io\.(?:buffered|bytearray|chararray|data|file(?:inputstream|outputstream|reader|writer)?\b|filter|input|linenumber|object|output|piped|print|pushback|reader|string|writer|serializable)|net\.url|nio\.|util\.(?:scanner|zip|jar)|security\.|rmi\.|beans\.|(?:\w+\.)?(?:runtime|processbuilder)\b)|javax\.(?:script|naming|management|el)\.|com\.sun\.(?:org|rowset|jndi|tools|script)\b|org\.(?:apache\.(?:commons|struts|catalina|xalan|logging|wicket|tomcat|ibatis)|omg\.corba|springframework\.(?:context|beans|cglib)|hibernate\.|codehaus\.groovy)|com\.opensymphony\.xwork2)|#_memberaccess|\bgetruntime ?\(|\bprocessbuilder\b|class\.module\.classloader|\.getclass ?\(|\.forname ?\(|@ognl|\bt\(java\.",
    ),
    target(
        Class::Rce,
        &[
            "require(",
            "require (",
            "require[",
            "require [",
            "require.main",
            "child_process",
            "process.",
            "process .",
            "process[",
            "process [",
            "global.",
            "globalthis.",
            "sync",
            "module.exports",
            "console.",
            "console .",
            "console[",
            "console [",
            "function(",
            "function (",
            "constructor",
            "__js_function",
        ],
        r"\brequire ?(?:\(|\[)|\brequire\.main|child_process|\bprocess ?(?:\[|\. ?(?:env|mainmodule|binding|exit|argv|cwd|kill|stdout|version)\b)|\bglobal(?:this)?\.process|\b(?:exec|spawn)(?:file)?sync\b|\bmodule\.exports|\bconsole ?(?:\. ?\w+(?:\.call|\.apply)? ?\(|\[)|\bfunction ?\( ?\w* ?\) ?\{|\bnew function ?\(|\bconstructor ?[.(\[] ?['\x22]?(?:constructor|prototype)|__js_function|\bthis\.constructor",
    ),
    target(
        Class::Rce,
        &["__proto__", "prototype", ":constructor:", "$1:", "$2:", "resolved_model"],
        r"__proto__ ?(?:\[|\.|['\x22]|:|=|\x02|$)|constructor ?(?:\.|\]\[|\[) ?['\x22]?prototype|:constructor:|\x22\$\w+:(?:__proto__|constructor|module)|resolved_model",
    ),
    target(
        Class::Rce,
        &["while(", "while ("],
        r"\bwhile ?\( ?(?:true|!|\d|[-+(]|new |this|infinity|string)[^\x01]{0,20}\)",
    ),
    target(
        Class::Rce,
        &[
            "__import__",
            "__class__",
            "__globals__",
            "__builtins__",
            "__subclasses__",
            "__mro__",
            "__base",
            "__init__",
            "__dict__",
            "os.system",
            "os.popen",
            "subprocess",
            "%x",
            "io.popen",
            "kernel.",
            "open3",
        ],
        r"__(?:import|class|globals|builtins|subclasses|mro|bases?|init|dict)__|\bos\.(?:system|popen|exec\w*) ?\(|\bsubprocess\.\w+ ?\(|%x[({\[|]|\bio\.popen|\bkernel\.(?:exec|system|open)|\bopen3\b",
    ),
    target(Class::Rce, &["@{"], r"@\{ ?\[|@\{ +\["),
    target(
        Class::Template,
        &["{{"],
        r"\{\{[^}\x01]*(?:\d ?[*+/-] ?['\x22]?\d|__|\bconfig\b|\brequest\b|\bself\b|\bconstructor\b|\|attr|['\x22]\||\bcycler\b|\blipsum\b|\bjoiner\b|\bnamespace\b|\w\([^)]*['\x22]|\[['\x22])",
    ),
    target(
        Class::Template,
        &["{%", "<%", "#{", "*{", "${", "#set", "#foreach", "<#", "{if", "{system", "[[${", "@("],
        r"\{% ?(?:if|for|import|include|set|debug|extends|with|print|block|load|raw)\b|#\{[^}\x01]*(?:\d ?[*+] ?\d|\(|\.\w+)|\*\{ ?(?:\d|t\()|\$\{ ?(?:\d+ ?[*+/-] ?['\x22]?\d|t\(|''|@|\w+\.\w+\(|class\b|request\.|session\.|application\b|param\.)|#set ?\( ?\$|#foreach ?\(|<#(?:assign|list|if|import)\b|\{system\(|\[\[\$\{|@\(\d+ ?[*+]",
    ),
    // arguments of PHP's own program, where the server hands it the query
    target(
        Class::Rce,
        &["\u{1}-s", "\u{1}-d"],
        r"\x01-s(?:\x01|$)|\x01-d ?(?:allow_url|auto_(?:prepend|append)|safe_mode|suhosin|disable_functions|open_basedir|cgi\.)",
    ),
];
