/* A list of the chapters, below the reasons to be careful, for pages that have many. */
'use strict';
(() => {
    const heads = [...document.querySelectorAll('body > h2')];
    if (heads.length < 6) return;
    const list = document.createElement('ol');
    heads.forEach((head, k) => {
        head.id = `chapter-${k + 1}`;
        const link = document.createElement('a');
        link.href = `#${head.id}`;
        link.textContent = head.textContent;
        const item = document.createElement('li');
        item.append(link);
        list.append(item);
    });
    const summary = document.createElement('summary');
    summary.textContent = 'Chapters';
    const details = document.createElement('details');
    details.append(summary, list);
    const nav = document.createElement('nav');
    nav.setAttribute('aria-label', 'Chapters');
    nav.append(details);
    heads[0].before(nav);
})();
