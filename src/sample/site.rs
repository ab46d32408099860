//! What there is to see and who looks: the pages and files of a member site, browsers, robots.
//!
//! All texts are made once and then only lent out, so that writing a line copies bytes and no more.

use super::random::{Random, mix};

/// The front page as a referrer.
pub(super) const HOME: &str = "https://www.example.org/";

/// Paths that are linked from somewhere and no longer exist. Fewer than make a scan.
pub(super) const MISSING: [&str; 10] = [
    "/old/index.html",
    "/programme-2019.html",
    "/members/list.html",
    "/feed.rss",
    "/news/archive/2014/spring",
    "/events/summer-party-2018",
    "/shop/",
    "/en/contact-us",
    "/images",
    "/apple-touch-icon-precomposed.png",
];

const SECTIONS: [&str; 8] =
    ["news", "events", "guides", "groups", "library", "projects", "help", "about"];

const WORDS: [&str; 24] = [
    "garden",
    "autumn",
    "meeting",
    "volunteers",
    "repair",
    "library",
    "harvest",
    "minutes",
    "winter",
    "workshop",
    "seedlings",
    "members",
    "summer",
    "compost",
    "annual",
    "open-day",
    "orchard",
    "cycling",
    "spring",
    "bees",
    "cooking",
    "budget",
    "evening",
    "neighbours",
];

const PAGES: usize = 900;
const ASSETS: usize = 260;

/// The texts that lines are made of.
#[derive(Debug)]
pub(super) struct Site {
    pages: Vec<String>,
    /// Each page as a referrer.
    referrers: Vec<String>,
    assets: Vec<String>,
    browsers: Vec<String>,
    robots: Vec<String>,
    searches: Vec<String>,
}

impl Site {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, 1);
        let pages: Vec<String> = (0..PAGES).map(|n| page(n, &mut random)).collect();
        let search =
            |word: &&str| format!("https://search.example.org/results?q={word}+site&lang=en");
        Self {
            referrers: pages.iter().map(|page| format!("{HOME}{}", &page[1..])).collect(),
            pages,
            assets: (0..ASSETS).map(|n| asset(n, &mut random)).collect(),
            browsers: browsers(),
            robots: robots(),
            searches: WORDS.iter().map(search).collect(),
        }
    }

    /// How many pages there are; number 0 is the front page.
    pub(super) fn pages(&self) -> u64 {
        self.pages.len() as u64
    }

    /// How many files the pages are made of; the first ones belong to every page.
    pub(super) fn assets(&self) -> u64 {
        self.assets.len() as u64
    }

    pub(super) fn page(&self, number: u32) -> &str {
        &self.pages[number as usize % self.pages.len()]
    }

    /// An address that the page once had and that now leads to it.
    pub(super) fn former_page(&self, number: u32) -> &str {
        match self.page(number) {
            "/" => "/index.htm",
            page => page.strip_suffix(['/', 'l']).unwrap_or(page),
        }
    }

    pub(super) fn asset(&self, number: u32) -> &str {
        &self.assets[number as usize % self.assets.len()]
    }

    /// A page of the site as a referrer.
    pub(super) fn referrer(&self, page: u32) -> &str {
        &self.referrers[page as usize % self.referrers.len()]
    }

    /// A page of search results as a referrer.
    pub(super) fn search(&self, number: u32) -> &str {
        &self.searches[number as usize % self.searches.len()]
    }

    /// The browser or robot of the client of that rank: always the same one.
    pub(super) fn agent(&self, rank: u32) -> &str {
        let pool = if is_robot(rank) { &self.robots } else { &self.browsers };
        &pool[(mix(u64::from(rank) ^ 0xa6e7) % pool.len() as u64) as usize]
    }
}

/// Every tenth client is a robot, though none of the busiest four, which are offices.
pub(super) fn is_robot(rank: u32) -> bool {
    4 <= rank && mix(u64::from(rank)).is_multiple_of(10)
}

fn page(number: usize, random: &mut Random) -> String {
    let section = *random.pick(&SECTIONS);
    let (first, second) = (*random.pick(&WORDS), *random.pick(&WORDS));
    match number {
        0 => "/".to_owned(),
        1..=8 => format!("/{}/", SECTIONS[number - 1]),
        9..=24 => format!("/members/{}/", WORDS[number - 9]),
        _ => {
            let year = 2019 + random.below(8);
            format!("/{section}/{year}/{first}-{second}-{number}.html")
        }
    }
}

fn asset(number: usize, random: &mut Random) -> String {
    let digest = random.next_u64() as u32;
    let word = WORDS[number % WORDS.len()];
    match number {
        0..=5 => format!("/assets/css/{word}.{digest:08x}.css"),
        6..=15 => format!("/assets/js/{word}.{digest:08x}.js"),
        16..=21 => format!("/assets/fonts/{word}-regular.woff2"),
        22 => "/favicon.ico".to_owned(),
        _ if number.is_multiple_of(3) => format!("/img/{word}-{digest:08x}.webp"),
        _ if number.is_multiple_of(7) => format!("/media/{word}-{number}.mp4"),
        _ => format!("/img/{digest:08x}.jpg"),
    }
}

fn browsers() -> Vec<String> {
    let mut agents = Vec::new();
    let desktops =
        ["Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64"];
    for version in [128, 131, 134, 137, 139, 140, 141, 142] {
        for desktop in desktops {
            agents.push(format!(
                "Mozilla/5.0 ({desktop}) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/{version}.0.0.0 Safari/537.36"
            ));
        }
        agents.push(format!(
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/{version}.0.0.0 Mobile Safari/537.36"
        ));
        agents.push(format!(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/{version}.0.0.0 Safari/537.36 Edg/{version}.0.0.0"
        ));
        let firefox = version + 3;
        agents.push(format!(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{firefox}.0) Gecko/20100101 \
             Firefox/{firefox}.0"
        ));
    }
    for (system, version) in [("17_6", "17.6"), ("18_3", "18.3"), ("18_6", "18.6")] {
        agents.push(format!(
            "Mozilla/5.0 (iPhone; CPU iPhone OS {system} like Mac OS X) AppleWebKit/605.1.15 \
             (KHTML, like Gecko) Version/{version} Mobile/15E148 Safari/604.1"
        ));
        agents.push(format!(
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like \
             Gecko) Version/{version} Safari/605.1.15"
        ));
    }
    agents
}

fn robots() -> Vec<String> {
    let crawlers = ["IndexBot/2.1", "PreviewBot/1.0", "ArchiveBot/3.4", "ResearchBot/0.9"];
    let mut agents: Vec<String> = crawlers
        .iter()
        .map(|name| {
            format!("Mozilla/5.0 (compatible; {name}; +https://bots.example.org/about.html)")
        })
        .collect();
    let tools = ["curl/8.14.1", "python-requests/2.32.5", "Go-http-client/2.0", "feed-reader/4.2"];
    agents.extend(tools.map(str::to_owned));
    agents
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn there_are_many_different_pages_files_and_browsers() {
        let site = Site::new(1);
        let different = |texts: &[String]| texts.iter().collect::<HashSet<_>>().len();
        assert_eq!(PAGES, different(&site.pages));
        assert!(ASSETS - 12 < different(&site.assets), "{}", different(&site.assets));
        assert!(50 < different(&site.browsers) && different(&site.robots) == 8);
    }

    #[test]
    fn missing_paths_are_no_pages() {
        let site = Site::new(1);
        for path in MISSING {
            assert!(site.pages.iter().all(|page| page != path), "{path}");
        }
    }
}
