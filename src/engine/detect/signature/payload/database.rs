//! What is sent to databases and directories: SQL, documents, LDAP, XPath.

use super::{Class, Pattern, every, target};

/// Functions that only databases have.
macro_rules! functions {
    () => {
        "(?:pg_sleep|extractvalue|updatexml|xmltype|load_file|load_extension|make_set|\
         regexp_substring|group_concat|wm_concat|string_agg|json_array|json_arrayagg|json_search|json_build_object|\
         jsonb_pretty|starts_with|lo_get|lo_import|lo_export|pg_read_file|pg_ls_dir|xp_[a-z]+|sp_executesql|\
         sp_oacreate|openrowset|opendatasource|openquery|generate_series|randomblob|zeroblob|crypt_key|ifnull|\
         find_in_set|strcmp|unhex|substring_index|row_count|last_insert_id|current_user|system_user|session_user|\
         sqlite_[a-z_]+|utl_[a-z_]+\\.[a-z_]+|dbms_[a-z_]+\\.[a-z_]+|ctxsys\\.[a-z_.]+|unistr|rawtohex|master\\.dbo)"
    };
}

pub(super) const PATTERNS: &[Pattern] = &[
    every(
        Class::Sqli,
        &["union"],
        r"\bunion(?: (?:all|distinct))?[ \n(]+(?:all[ \n(]+)?(?:distinct)?select(?:row)?[ \n(]*(?:[-+~!@'\x22`*\d.]|null\b|[\w.$]+ ?[,(`]|[\w.]+ (?:from|into|as|limit|where)\b|(?:\x01|$)|[\w.]* ?(?:--|#))",
    ),
    every(
        Class::Sqli,
        &["union"],
        r"\bunion (?:all|distinct) select\b|\bunion[ \n#]+distinctrowselect|\bunion\(select",
    ),
    target(
        Class::Sqli,
        &["=", "<", ">", "^", "like"],
        r"(?:\b(?:or|and|xor|having|where|rlike|when|elt|make_set|if|not|select)|\|\||&&|\{if)[ \n('\x22]*[-+]?\d+['\x22]?\)* ?(?:[=<>^]|!=|\blike\b|\brlike\b)[=<>]* ?['\x22(]?[-+]?\d",
    ),
    target(
        Class::Sqli,
        &["=", "<", ">"],
        r"\(\d{2,}[=<>]+\d{2,}\)[ *|&)]|\b\d{3,} ?= ?\d{3,} ?(?:--|#|\band\b|\bor\b)|=\d+['\x22]? ?(?:--|#) ?(?:\x01|$)",
    ),
    target(
        Class::Sqli,
        &["'", "\"", "`"],
        r"['\x22`][ \n)]*(?:or|and|xor|\|\||&&|div|mod|having|rlike|like|between|in|is|not|where|as \w+ where|collate|notnull|isnull)\b[^\x01]{0,60}?(?:[=<>]|--|#|\blike\b|\bin ?\(|\bis (?:not )?null|\bnotnull|\bbetween\b|\bregexp\b|\bnocase|utf8|\bor ?\?|; ?\w{0,8}(?:\x01|$))",
    ),
    target(
        Class::Sqli,
        &["'", "\"", "`"],
        r"(?:^|\x02)[^\x01\x02'\x22`]*['\x22`][ \n)]*(?:or|and|xor|\|\||&&)[ \n(]*(?:not )?(?:['\x22`]\w*(?:\x01|$|['\x22`])|true\b|false\b|\d+(?:\x01|$|\)))",
    ),
    target(
        Class::Sqli,
        &["'", "\"", "`"],
        r"['\x22`)] ?(?:=|<>|!=|<=>|<|>|\blike\b|\brlike\b) ?\(?['\x22`](?:[\w%]|[)]|\x01|$)",
    ),
    target(
        Class::Sqli,
        &["--", "#", "/*"],
        r"['\x22`)%] ?\)*;? ?(?:--|#|/\*)[-+ ]*(?:\w{1,8} ?)?(?:\x01|$)",
    ),
    target(
        Class::Sqli,
        &["';", "\";", "`;", "' ;"],
        r"\x02[^\x01'\x22`]*[@.\w]['\x22`] ?; ?(?:\x01|$)",
    ),
    target(
        Class::Sqli,
        &["order by", "group by", "having"],
        r"\b(?:order by \d+ ?(?:--|#|,|\x01|$)|order by (?:if|\(|\d+[^\w ])|group by \w+[ (]?(?:having|limit|--|#|,|\(|concat)|having (?:\w+ ?\(|\d)|having \w+ ?[=<>])",
    ),
    target(
        Class::Sqli,
        &["sleep"],
        r"\bsleep ?\( ?(?:[-+'\x22]?\d|/|mod\(|@)|\bsleep\(\w*\)|\bsleep\([^\x01]*\)[^\x01]*(?:--|#|\bor\b|\band\b)",
    ),
    every(Class::Sqli, &["waitfor"], r"\bwaitfor ?(?:delay|time)\b"),
    every(
        Class::Sqli,
        &[
            "pg_",
            "benchmark",
            "extractvalue",
            "updatexml",
            "xmltype",
            "load_",
            "make_set",
            "elt(",
            "regexp_sub",
            "_concat",
            "string_agg",
            "json",
            "starts_with",
            "lo_",
            "xp_",
            "sp_",
            "openrowset",
            "opendatasource",
            "openquery",
            "generate_series",
            "blob",
            "crypt_key",
            "ifnull",
            "find_in_set",
            "strcmp",
            "unhex",
            "substring_index",
            "row_count",
            "last_insert",
            "_user",
            "sqlite_",
            "utl_",
            "dbms_",
            "ctxsys",
            "unistr",
            "rawtohex",
            "master.dbo",
        ],
        concat!(
            r"\b(?:",
            functions!(),
            r" ?\(|elt\(|benchmark(?:\( ?(?:[\d('\x22/]|\x01|$)| \(\d+ ?,))"
        ),
    ),
    target(
        Class::Sqli,
        &[
            "xp_",
            "sp_",
            "utl_",
            "openrowset",
            "information_schema",
            "sysobjects",
            "syscolumns",
            "sysusers",
            "sysdatabases",
            "pg_",
            "sqlite_",
            "all_users",
            "all_tables",
            "user_tables",
            "rdb$",
            "sysibm",
            "msysaccessobjects",
            "mysql.",
            "dbms_",
            "@@",
            "sql_delimit",
            "master.",
        ],
        r"\b(?:xp_(?:cmdshell|dirtree|regread|regwrite|fileexist|subdirs|servicecontrol)|sp_(?:password|executesql|oacreate|makewebtask|configure|addextendedproc)|utl_(?:http|inaddr|file|smtp)|openrowset|information_schema ?\.|sysobjects|syscolumns|sysusers|sysdatabases|pg_(?:catalog|shadow|user|tables|sleep|authid)|sqlite_(?:master|schema)|all_users|all_tables|user_tables|rdb\$\w|sysibm\.|msysaccessobjects|mysql\.(?:db|user)|dbms_\w+\.|master\.(?:dbo|\.)|sql_delimit)|@@(?:version|hostname|datadir|basedir|global|servername)",
    ),
    target(
        Class::Sqli,
        &["(", "=("],
        r"[\x02 ,('\x22=*/+|-](?:concat|concat_ws|char|chr|nchar|ascii|ord|hex|md5|sha1|substr|substring|mid|cast|version|database|schema|sysdate|uncompress|compress|decode|encode|lower|upper|nullif|coalesce|iif|length)=?\((?:[^s\x01]|s[^)]|\x01|$)[^\x01]*(?:\x01|$)",
    ),
    target(Class::Sqli, &["char(", "chr("], r"\bcha?r\(\d+\)(?:\|\||\+|,|&)"),
    target(
        Class::Sqli,
        &[";"],
        r";[ \n]*(?:select ?(?:[*('@\d]|\w+ ?[,(]|\w+ from\b|case\b|pg_)|insert into\b|update \w+ set\b|delete from\b|drop ?(?:table|database|view|function|procedure|user|index|schema)\b|alter (?:table|user|database)\b|create (?:or|table|function|user|procedure|database|view|trigger|alias)\b|truncate(?: table\b|\[)|declare ?@|declare \w+ \w+ ?[;(]|exec(?:ute)?[ (]|call \w+ ?\(|begin (?:dbms|declare|\w+\.)|waitfor\b|i?if ?\(|replace into\b|replace \w+ ?\(|grant \w+ (?:on|to)\b|set @|prepare \w|analyze|shutdown ?(?:;|--|\x01|$))",
    ),
    target(
        Class::Sqli,
        &["select"],
        r"\(select(?:[*(@'\x22\d]| ?(?:[*(@'\x22\d]|case\b|null\b|count\b|concat|cha?r\b|if\b|elt\b|upper\b|lower\b|min\b|max\b|top\b|distinct\b|convert\b|cast\b|pg_|sleep|substr|password|user|table_name|\w+ ?[,(=]|[\w.]+ (?:from|where)\b))|\bselect[ (]*(?:sleep|benchmark|pg_sleep|load_file|extractvalue|if|iif|concat|char|convert|count|@@)[ (]|\bselect (?:case\b|0x[0-9a-f]|\d+ ?(?:--|#|,|\*|/)|null\b|\w+ where \d)",
    ),
    every(
        Class::Sqli,
        &["select"],
        r"\bselect (?:all |distinct )?(?:\*|[\w.`\x22]+(?: ?, ?[\w.`\x22*]+)+|\w+\([^\x01]{0,40}?\)(?: ?as \w+)?|[\w.`]+) from ?(?:[\w.`\x22\[]+ (?:where|limit|group by|order by|union|having|join)\b|[\w.`\x22\[]+ ?(?:--|#|;|\)|/\*)|\()",
    ),
    target(
        Class::Sqli,
        &["select", "from ", "values"],
        r"\bselect ?\*|\bfrom [\w.`\x22]+ (?:where [\w.`\x22]+ ?(?:[=<>]|like\b|in\b|is\b)|where convert|limit \d|group by \w+&?|order by [\w`]+ ?,)|\b(?:in|except|exists)[ \n(]+\(?(?:select[ .\d*]|values ?\()",
    ),
    target(
        Class::Sqli,
        &["insert", "update", "delete", "alter", "create", "drop", "replace"],
        r"\binsert into \S+ ?(?:\(|values\b|select\b)|\bupdate \w+ set \w+ ?=|\bdelete from \w+ ?(?:where \w+ ?[=<>]|;|--)|\balter table \S+ (?:add|change|drop|modify|rename)\b|\bcreate (?:or replace )?(?:function|procedure|trigger|table) [\w.]+ ?\(|\bdrop (?:table )?\w+ ?; ?--",
    ),
    target(
        Class::Sqli,
        &["into", "procedure", "boolean mode", "limit", ",null"],
        r",null(?:,null)+|\binto (?:out|dump)file\b|\bprocedure analyse ?\(|\bin boolean mode\b|\blimit \d+ ?, ?\d+ ?(?:--|#|\x01|$)|\blimit \d+ (?:offset|into|union)\b",
    ),
    every(
        Class::Sqli,
        &["::", "cast", "convert", "case", "exec", "declare", "set @"],
        r"\)::(?:int|text|bool)|\b\w+::(?:int|text|jsonb?|bool|numeric|regclass)\b|\bcast ?\([^\x01]{1,60} as (?:int|char|varchar|nvarchar|numeric|text|signed|unsigned|decimal)|\bconvert ?\( ?int\b|\bcase when\b[^\x01]{1,60}\bthen\b|\bcase \d+ when\b|\bexec(?:ute)? (?:master|xp_|sp_|immediate)|\bdeclare @\w+ |\bset @\w+ ?=",
    ),
    target(Class::Sqli, &["0x"], r"[(,=] ?0x[0-9a-f]{4,} ?[,)]|\x020x[0-9a-f]+['\x22 ]"),
    target(
        Class::Sqli,
        &["or ", "and ", "where ", "not ", "^"],
        r"\b(?:or|and|where) (?:not )?(?:\w+ (?:like|rlike|regexp|is not|not like|ilike) ?['\x22]|\w+ ?[!=<>]{1,2} ?['\x22]|\w+ in ?\(['\x22\d]|\( ?\w+ = ?['\x22]|exists ?\(|\d+[=<>]+\d+|\d+ ?= ?\(|\{if)|\bor (?:true|false) ?(?:--|#|;|\x01|$)|\bnot (?:similar to|regexp ')|\b(?:1|0) ?\^ ?(?:1|0)\b",
    ),
    target(
        Class::Sqli,
        &["1.e", "array[", "~all", "{if", "like null", "<=>"],
        r"\b1\.e[.(]\w|\barray ?\[ ?\w+ ?\] |~ ?all ?\( ?array|\{if \w+ ?\(|<=>|\x02 ?like null\b",
    ),
    target(
        Class::Sqli,
        &["'"],
        r"\x02[^\x01]{0,12}'(?:\+|\|\|| )+\(?(?:select|sleep|case|concat|cha?r|waitfor|union)\b|'\|\|(?:true|false|\w+\.\w+|'\w|\()",
    ),
    target(
        Class::Sqli,
        &["!=", "like ", "or ", "when "],
        r"\x02\d+'? ?!= ?'?\d|\blike ?['\x22%](?:\x01|$)|\bor \d+ ?(?:#|--)|\bwhen \d+ then\b",
    ),
    // the noise by which a tool finds out whether quotes and brackets reach the database
    target(
        Class::Sqli,
        &[".(", ".'", ".\"", "(.", "'.", "\"."],
        r"['\x22(),.]{2,}(?:\.[('\x22]|[('\x22]\.)['\x22(),.]{3,}",
    ),
    target(
        Class::Sqli,
        &["("],
        r"\x02(?:trim|insert|left|right|replace|count|length|sin|uncompress|char_length|reverse|repeat|mid)\((?:\x01|$|['\x22\d(@])",
    ),
    target(
        Class::Nosql,
        &["[$", "$where", "$ne", "$gt", "$lt", "$regex", "$in", "$exists", "$or", "$and", "$nin"],
        r"\[\$(?:ne|eq|gte?|lte?|n?in|regex|where|exists|n?or|and|not|elemmatch|expr|size|type|options)\]|['\x22]\$(?:ne|eq|gte?|lte?|n?in|regex|where|exists|n?or|and|not|elemmatch|expr|func)['\x22] ?:|\$where[=\x02 :]",
    ),
    target(
        Class::Nosql,
        &["this.", "return true", "db."],
        r"(?:\|\||&&|['\x22;(!]) ?!?this\.\w+|; ?return ?\(?true|\bdb\.\w+\.(?:find|insert|drop|update|remove|getcollection)\w*\(|'\|\|'?1'? ?==='?1",
    ),
    target(
        Class::Ldap,
        &[")(", ")&(", ")|(", ")!(", ") (", ") &", ") |", ")("],
        r"\x02[^\x01(]*\) ?[!&|]? ?\( ?(?:[&|!]|[\w-]+ ?[~<>]?=|\x01|$)|\*\) ?\( ?[|&]|\)\( ?\| ?\(",
    ),
    target(
        Class::Xpath,
        &["count(", "name(", "::", "]|", "] |", "string-length", "substring("],
        r"['\x22] ?\]? ?(?:or|and) (?:count|name|string-length|substring|position|text|not)\( ?(?:/|name|\w+\()|\bcount\(/|\b(?:child|parent|ancestor|descendant|following-sibling|preceding-sibling|self|attribute)::(?:node\(|\*|text\(|\w+\[)|\] ?\| ?(?:\*|//)|\bstring-length\((?:name|//?)\b",
    ),
];
