//! Requests that belong to one published weakness.
//!
//! A row matches where the request has its method (any, where that is empty) and the view of its
//! target holds all the texts. The first of them is what it is looked up by.

/// A row of [`CVES`].
#[derive(Clone, Copy, Debug)]
pub struct CveEntry {
    /// The number of the weakness.
    pub id: &'static str,
    /// The method, or nothing.
    pub method: &'static str,
    /// Texts of the view, lower-case.
    pub texts: &'static [&'static str],
}

const fn any(id: &'static str, texts: &'static [&'static str]) -> CveEntry {
    CveEntry { id, method: "", texts }
}

const fn put(id: &'static str, texts: &'static [&'static str]) -> CveEntry {
    CveEntry { id, method: "PUT", texts }
}

const fn post(id: &'static str, texts: &'static [&'static str]) -> CveEntry {
    CveEntry { id, method: "POST", texts }
}

/// The list, newest first.
pub const CVES: &[CveEntry] = &[
    post("CVE-2025-53770", &["/_layouts/", "/toolpane.aspx"]),
    any("CVE-2025-31324", &["/developmentserver/metadatauploader"]),
    any("CVE-2025-30208", &["/@fs/", "import"]),
    put("CVE-2025-24813", &[".session"]),
    any("CVE-2024-55591", &["/ws/cli/open", "local_access_token"]),
    any("CVE-2024-36401", &["/geoserver/", "valuereference", "exec("]),
    any("CVE-2024-27198", &["/app/rest/", ";.jsp"]),
    any("CVE-2024-23897", &["/cli", "remoting\u{2}false"]),
    any("CVE-2024-21887", &["/api/v1/totp/user-backup-code/../"]),
    any("CVE-2024-4577", &["allow_url_include", "php-cgi"]),
    any("CVE-2024-4040", &["/webinterface/function/", "<include>"]),
    any("CVE-2024-1709", &["/setupwizard.aspx/"]),
    any("CVE-2024-0012", &["/php/ztp_gate.php/.js.map"]),
    any("CVE-2023-49103", &["/graphapi/vendor/microsoft/microsoft-graph/tests/getphpinfo.php"]),
    post("CVE-2023-38646", &["/api/setup/validate"]),
    post("CVE-2023-38035", &["/mics/services/mics"]),
    any("CVE-2023-35078", &["/mifs/aad/api/v2/"]),
    any("CVE-2023-34362", &["/moveitisapi/moveitisapi.dll", "action\u{2}m2"]),
    any("CVE-2023-23752", &["/api/index.php/v1/", "public\u{2}true"]),
    any("CVE-2023-22527", &["/template/aui/text-inline.vm"]),
    post("CVE-2023-22518", &["/json/setup-restore"]),
    any("CVE-2023-22515", &["/server-info.action", "bootstrapstatusprovider"]),
    any("CVE-2023-4966", &["/oauth/idp/.well-known/openid-configuration"]),
    any("CVE-2023-1389", &["/cgi-bin/luci/;stok=/locale"]),
    post("CVE-2023-0669", &["/goanywhere/lic/accept"]),
    any("CVE-2022-47966", &["/samlresponseservlet"]),
    any("CVE-2022-46169", &["/remote_agent.php", "action\u{2}polldata"]),
    any("CVE-2022-41040", &["/autodiscover/autodiscover.json", "powershell"]),
    put("CVE-2022-40684", &["/api/v2/cmdb/system/admin"]),
    post("CVE-2022-37042", &["/service/extension/backup/mboximport"]),
    any("CVE-2022-35914", &["/htmlawed/htmlawedtest.php"]),
    post("CVE-2022-30525", &["/ztp/cgi-bin/handler"]),
    post("CVE-2022-29464", &["/fileupload/toolsany"]),
    any("CVE-2022-26134", &["${(#", "@java.lang.runtime"]),
    any("CVE-2022-22965", &["class.module.classloader"]),
    post("CVE-2022-22963", &["/functionrouter"]),
    any("CVE-2022-22954", &["/catalog-portal/ui/oauth/verify", "deviceudid"]),
    post("CVE-2022-22947", &["/actuator/gateway/routes"]),
    post("CVE-2022-1388", &["/mgmt/tm/util/bash"]),
    any("CVE-2022-0540", &["/insightpluginshowgeneralconfiguration.jspa;"]),
    any("CVE-2021-44228", &["${jndi:"]),
    any("CVE-2021-43798", &["/public/plugins/", "/../"]),
    any("CVE-2021-42013", &["/cgi-bin/.%%32%65"]),
    any("CVE-2021-41773", &["/cgi-bin/../"]),
    any("CVE-2021-41773", &["/icons/../"]),
    post("CVE-2021-40539", &["/./restapi/logonscustomization"]),
    any("CVE-2021-40438", &["unix:a", "|http"]),
    put("CVE-2021-36260", &["/sdk/weblanguage"]),
    any("CVE-2021-35464", &["/ccversion/version", "jato.pagesession"]),
    any("CVE-2021-34473", &["/autodiscover/autodiscover.json", "@"]),
    any("CVE-2021-29441", &["/nacos/v1/auth/users"]),
    any("CVE-2021-28164", &["/./web-inf/"]),
    any("CVE-2021-27850", &["/assets/app/", "appmodule.class"]),
    any("CVE-2021-26855", &["/ecp/y.js"]),
    any("CVE-2021-26086", &["/s/", "/_/;/web-inf/"]),
    post("CVE-2021-26084", &["/pages/createpage-entervariables.action"]),
    any("CVE-2021-22005", &["/analytics/telemetry/ph/api/hyper/send"]),
    any("CVE-2021-21985", &["/ui/h5-vsan/rest/proxy/service/"]),
    any("CVE-2021-21972", &["/ui/vropspluginui/rest/services/uploadova"]),
    any("CVE-2020-25213", &["/wp-file-manager/lib/php/connector.minimal.php"]),
    any("CVE-2020-17530", &["(#instancemanager="]),
    any("CVE-2020-14882", &["/console/", "../", "console.portal"]),
    any("CVE-2020-11738", &["duplicator_download", "../"]),
    any("CVE-2020-9054", &["/weblogin.cgi", "username\u{2}admin'"]),
    post("CVE-2020-8515", &["/cgi-bin/mainfunction.cgi"]),
    any("CVE-2020-5902", &["/tmui/login.jsp/..;/"]),
    any("CVE-2020-3452", &["/+cscot+/", "../"]),
    any("CVE-2019-19781", &["/vpn/../vpns/"]),
    any("CVE-2019-18935", &["/telerik.web.ui.webresource.axd", "type\u{2}rau"]),
    any("CVE-2019-16759", &["/ajax/render/widget_php"]),
    any("CVE-2019-16759", &["routestring\u{2}ajax/render/widget_php"]),
    any("CVE-2019-11510", &["/dana-na/../"]),
    any("CVE-2019-9978", &["/wp-admin/admin-post.php", "swp_debug"]),
    any("CVE-2019-2725", &["/_async/asyncresponseservice"]),
    any("CVE-2018-20062", &["invokefunction", "call_user_func_array"]),
    any("CVE-2018-13379", &["/remote/fgt_lang", "../"]),
    any("CVE-2018-10561", &["/gponform/diag_form"]),
    any("CVE-2018-7600", &["element_parents", "#value"]),
    post("CVE-2017-17215", &["/ctrlt/deviceupgrade"]),
    put("CVE-2017-12615", &[".jsp/"]),
    any("CVE-2017-10271", &["/wls-wsat/"]),
    any("CVE-2017-9841", &["/phpunit/util/php/eval-stdin.php"]),
    any("CVE-2017-9841", &["/phpunit/src/util/php/eval-stdin.php"]),
    any("CVE-2017-7921", &["auth\u{2}ywrtaw46mtek"]),
    any("CVE-2016-20017", &["/login.cgi", "cli\u{2}"]),
    post("CVE-2015-2051", &["/hnap1"]),
    post("CVE-2014-8361", &["/wanipcn.xml"]),
    any("CVE-2014-6271", &["() {"]),
    any("CVE-2012-1823", &["allow_url_include"]),
];
