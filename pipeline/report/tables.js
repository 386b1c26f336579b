/* Sorting of tables: a head of a table of the class "sort" becomes a button; a click sorts the rows
   by its column, a second click reverses them. Cells sort by data-sort, numbers before text. */
'use strict';
(() => {
    const keyOf = cell => {
        const number = cell.dataset.sort !== undefined ? Number(cell.dataset.sort)
            : parseFloat(cell.textContent.replace('\u2212', '-'));
        return { number, text: cell.textContent.trim() };
    };
    /* What was not measured stays at the end in either direction. */
    const compare = (a, b, direction) => {
        const numbers = !Number.isNaN(a.number) + 2 * !Number.isNaN(b.number);
        if (numbers === 3) return direction * (a.number - b.number);
        if (numbers === 1) return -1;
        if (numbers === 2) return 1;
        return direction * a.text.localeCompare(b.text, 'en', { numeric: true });
    };
    const sortBy = (table, head, column) => {
        const direction = head.getAttribute('aria-sort') === 'ascending' ? -1 : 1;
        for (const other of table.tHead.rows[0].cells) other.setAttribute('aria-sort', 'none');
        head.setAttribute('aria-sort', direction === 1 ? 'ascending' : 'descending');
        const body = table.tBodies[0];
        const rows = [...body.rows].map(row => ({ row, key: keyOf(row.cells[column]) }));
        rows.sort((a, b) => compare(a.key, b.key, direction));
        body.append(...rows.map(one => one.row));
    };
    for (const table of document.querySelectorAll('table.sort'))
        [...table.tHead.rows[0].cells].forEach((head, column) => {
            const button = document.createElement('button');
            button.type = 'button';
            button.append(...head.childNodes);
            button.addEventListener('click', () => sortBy(table, head, column));
            head.setAttribute('aria-sort', 'none');
            head.append(button);
        });
})();
