/* The slice viewer. The volumes are in the page (viewer.c): for each the HU, as differences along x,
   low bytes before high bytes, and the labels, both deflated and in base64. A volume is unpacked
   when it is first shown. */
'use strict';
(() => {
    const PRESETS = [['Soft tissue', 400, 40], ['Lung', 1500, -600], ['Bone', 1800, 400]];
    const viewer = document.querySelector('.viewer');
    if (!viewer) return;
    const volumes = [...viewer.querySelectorAll('[data-hu]')].map(element => ({ element }));
    const structures = [...viewer.querySelectorAll('[data-label]')].map(element => ({
        label: Number(element.dataset.label), name: element.textContent,
        colour: element.dataset.colour.match(/../g).map(part => parseInt(part, 16)), shown: true }));
    if (volumes.length === 0) return;
    const study = viewer.dataset.window.split(' ').map(Number);
    PRESETS.push(['Study', study[1] - study[0], (study[0] + study[1]) / 2]);

    const make = (name, attributes, ...children) => {
        const element = Object.assign(document.createElement(name), attributes);
        element.append(...children);
        return element;
    };
    const fail = text => viewer.append(make('p', { className: 'fault', role: 'alert' }, text));
    if (typeof DecompressionStream === 'undefined') {
        fail('The slice viewer needs a newer browser (one with DecompressionStream).');
        return;
    }

    const state = { volume: null, z: 0, width: PRESETS[0][1], level: PRESETS[0][2], labels: true,
        opacity: 0.4, wanted: 0 };
    const canvas = make('canvas', { tabIndex: 0 });
    const context = canvas.getContext('2d', { willReadFrequently: true });
    canvas.setAttribute('role', 'img');
    const choice = make('select', {}, ...volumes.map((volume, i) => make('option', { value: i },
        `${volume.element.dataset.kind}: ${volume.element.dataset.name}`)));
    const slice = make('input', { type: 'range', min: 0, step: 1 });
    const opacity = make('input', { type: 'range', min: 0, max: 100, value: 40 });
    const labels = make('input', { type: 'checkbox', checked: true });
    const where = make('output', {});
    const value = make('output', {});
    where.setAttribute('aria-live', 'polite');
    const buttons = PRESETS.map(([name, width, level], i) => make('button', { type: 'button',
        title: `W ${width} L ${level}, key ${i + 1}`, onclick: () => setWindow(width, level) }, name));
    const keys = [['\u2190 \u2192', 'slice'], ['Page Up/Down', 'ten slices'], ['Home End', 'first, last'],
        ['1 \u2013 4', 'window'], ['L', 'labels'], ['+ \u2212', 'opacity'], ['V', 'next volume']];
    const legend = make('ul', {}, ...structures.map(one => {
        const box = make('input', { type: 'checkbox', checked: true,
            onchange: () => { one.shown = box.checked; draw(); } });
        const tint = make('i', {});
        tint.style.background = `rgb(${one.colour})`;
        return make('li', {}, make('label', {}, box, ' ', tint, one.name));
    }));
    viewer.append(make('div', {}, canvas), make('div', { className: 'panel' },
        make('label', {}, 'Volume', choice), make('label', {}, 'Slice', slice), where,
        make('div', { className: 'presets' }, ...buttons), value,
        make('label', {}, labels, ' Labels'), make('label', {}, 'Opacity of labels', opacity), legend,
        make('details', {}, make('summary', {}, 'Help'),
            make('p', {}, 'Drag: window (across) and level (up, down). Wheel, or a swipe across: slice.'),
            make('ul', {}, ...keys.map(([key, what]) => make('li', {}, make('kbd', {}, key), ' ' + what))))));

    const inflate = async text => {
        const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
        const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
        return new Uint8Array(await new Response(stream).arrayBuffer());
    };
    const unpack = async volume => {
        const data = volume.element.dataset;
        const side = Number(data.side), depth = Number(data.depth), n = depth * side * side;
        const packed = await inflate(data.hu), hu = new Int16Array(n);
        for (let i = 0; i < n; i++)
            hu[i] = (i % side ? hu[i - 1] : 0) + (packed[i] | packed[n + i] << 8);
        Object.assign(volume, { side, depth, hu, labels: await inflate(data.labels) });
    };

    const greyOf = hu => {
        const low = state.level - state.width / 2;
        return Math.round(255 * Math.min(1, Math.max(0, (hu - low) / state.width)));
    };
    const tintOf = label => structures.find(one => one.label === label && one.shown);
    const draw = () => {
        const { side, depth, hu, labels: map } = state.volume, at = state.z * side * side;
        const picture = context.createImageData(side, side), tints = [];
        const weight = state.labels ? state.opacity : 0;
        for (let i = 0; i < side * side; i++) {
            const grey = greyOf(hu[at + i]), label = map[at + i];
            if (label && !(label in tints)) tints[label] = tintOf(label);
            for (let k = 0; k < 3; k++)
                picture.data[4 * i + k] = label && tints[label]
                    ? Math.round((1 - weight) * grey + weight * tints[label].colour[k]) : grey;
            picture.data[4 * i + 3] = 255;
        }
        context.putImageData(picture, 0, 0);
        const first = Number(state.volume.element.dataset.first), step = Number(state.volume.element.dataset.step);
        where.textContent = `Slice ${first + step * state.z + 1} of ${state.volume.element.dataset.of}` +
            `, W ${Math.round(state.width)} L ${Math.round(state.level)}`;
        slice.value = state.z;
        slice.max = depth - 1;
        canvas.setAttribute('aria-label', `${choice.selectedOptions[0].textContent}. ${where.textContent}`);
        PRESETS.forEach(([, width, level], i) => buttons[i].setAttribute('aria-pressed',
            width === state.width && level === state.level));
    };
    const setSlice = z => {
        if (!state.volume) return;
        state.z = Math.min(state.volume.depth - 1, Math.max(0, z));
        draw();
    };
    const setWindow = (width, level) => {
        state.width = Math.min(8000, Math.max(2, width));
        state.level = Math.min(4000, Math.max(-2000, level));
        if (state.volume) draw();
    };
    const setOpacity = percent => {
        opacity.value = Math.min(100, Math.max(0, percent));
        state.opacity = opacity.value / 100;
        if (state.volume) draw();
    };
    const setVolume = async i => {
        const turn = ++state.wanted, volume = volumes[i];
        try {
            if (!volume.hu) await unpack(volume);
        } catch (error) {
            fail(`This volume cannot be unpacked: ${error.message}`);
            return;
        }
        if (turn !== state.wanted) return; /* another one was chosen meanwhile */
        choice.value = i;
        state.volume = volume;
        if (canvas.width !== volume.side) canvas.width = canvas.height = volume.side;
        setSlice(Math.floor(volume.depth / 2));
    };
    const setLabels = on => {
        labels.checked = state.labels = on;
        if (state.volume) draw();
    };

    choice.addEventListener('change', () => setVolume(Number(choice.value)));
    slice.addEventListener('input', () => setSlice(Number(slice.value)));
    opacity.addEventListener('input', () => setOpacity(Number(opacity.value)));
    labels.addEventListener('change', () => setLabels(labels.checked));
    canvas.addEventListener('wheel', event => {
        event.preventDefault();
        if (event.deltaY) setSlice(state.z + Math.sign(event.deltaY));
    }, { passive: false });

    let drag = null;
    canvas.addEventListener('pointerdown', event => {
        if (!event.isPrimary) return;
        drag = { x: event.clientX, y: event.clientY, z: state.z, width: state.width, level: state.level };
        canvas.setPointerCapture(event.pointerId);
        canvas.focus({ preventScroll: true });
    });
    canvas.addEventListener('pointermove', event => {
        if (!state.volume) return;
        const dx = drag ? event.clientX - drag.x : 0, dy = drag ? event.clientY - drag.y : 0;
        if (drag && event.pointerType === 'touch') setSlice(drag.z + Math.round(dx / 12));
        else if (drag) setWindow(drag.width + 4 * dx, drag.level + 2 * dy);
        const { side, hu, labels: map } = state.volume, box = canvas.getBoundingClientRect();
        const x = Math.floor((event.clientX - box.left) / box.width * side);
        const y = Math.floor((event.clientY - box.top) / box.height * side);
        if (x < 0 || y < 0 || x >= side || y >= side) return;
        const i = (state.z * side + y) * side + x;
        const one = structures.find(structure => structure.label === map[i]);
        value.textContent = `${hu[i]} HU at ${x + 1}, ${y + 1}${one ? ', ' + one.name : ''}`;
    });
    for (const end of ['pointerup', 'pointercancel']) canvas.addEventListener(end, () => { drag = null; });

    const shortcuts = {
        ArrowLeft: () => setSlice(state.z - 1), ArrowUp: () => setSlice(state.z - 1),
        ArrowRight: () => setSlice(state.z + 1), ArrowDown: () => setSlice(state.z + 1),
        PageUp: () => setSlice(state.z - 10), PageDown: () => setSlice(state.z + 10),
        Home: () => setSlice(0), End: () => setSlice(Infinity),
        l: () => setLabels(!state.labels), '+': () => setOpacity(Number(opacity.value) + 10),
        '-': () => setOpacity(Number(opacity.value) - 10),
        v: () => setVolume((Number(choice.value) + 1) % volumes.length) };
    PRESETS.forEach(([, width, level], i) => { shortcuts[i + 1] = () => setWindow(width, level); });
    canvas.addEventListener('keydown', event => {
        const act = shortcuts[event.key] || shortcuts[event.key.toLowerCase()];
        if (!act || !state.volume || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        act();
    });
    setVolume(0);
})();
