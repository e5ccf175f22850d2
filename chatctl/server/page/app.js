// The page of a room: a member like any other, which speaks the dialect of programs (docs/wire.md), a message a line.
//
//   Claim    what it keeps from one connection to the next: its place, what it has seen, what it has said
//   Line     the connection, and when to try another one
//   Log      what is shown
//   Box      what is typed
//
// All that others have said is text: it comes into the document by textContent and nothing else.
'use strict';

const byId = (id) => document.getElementById(id);

/** What a browser keeps, if it keeps anything: a private window may not. */
const kept = {
  read(store, key) {
    try { return store.getItem(key) ?? ''; } catch { return ''; }
  },
  write(store, key, value) {
    try { store.setItem(key, value); } catch { /* it works without, until the next reload */ }
  },
};

// ---------------------------------------------------------------------------------------------------- the claim

/** A claim on a place in the room: see chatctl/peer/claim.py, which does the same for the client. */
class Claim {
  constructor() {
    this.uid = 0;
    this.nick = kept.read(localStorage, 'name');
    this.epoch = '';                 // of this page, not of the tab: a page that was loaded anew has shown nothing
    this.seq = 0;
    this.ignored = new Set();
    const saved = JSON.parse(kept.read(sessionStorage, 'claim') || '{}');
    this.secret = saved.secret ?? this.invent();
    this.next = saved.next ?? 1;
    this.due = saved.due ?? [];      // what was said and not answered: {id, text}
    this.save();
  }

  /** A secret for a place of this tab: 128 random bits. */
  invent() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  }

  save() {
    kept.write(sessionStorage, 'claim', JSON.stringify({ secret: this.secret, next: this.next, due: this.due }));
  }

  /** The line by which to enter. */
  enter(password) {
    const seen = this.epoch ? { epoch: this.epoch, after: this.seq } : { history: 50 };
    const keys = { ...(this.nick && { nick: this.nick }), secret: this.secret, ...seen, ...(password && { password }) };
    return `/enter ${JSON.stringify(keys)}`;
  }

  /** The line to be sent for a text, under the next number. */
  say(text) {
    const id = this.next++;
    this.due.push({ id, text });
    this.save();
    return `/id ${id} ${text}`;
  }

  done(id) {
    this.due = this.due.filter((said) => said.id !== id);
    this.save();
  }

  /**
   * Take account of a welcome.
   * @returns what is to be said about what is missing, if anything, what was maybe not said, and what to send again.
   */
  welcome(visit) {
    let missing = 0;
    if (this.epoch) missing = visit.known ? Math.max(visit.from - this.seq - 1, 0) : Infinity;
    this.uid = visit.uid;
    this.epoch = visit.epoch;
    this.seq = visit.from - 1;
    this.ignored = new Set();
    if (!visit.you.includes(':')) this.nick = visit.you;
    let doubtful = [];
    if (visit.resumed) {
      this.due = this.due.filter((said) => said.id > visit.taken);
    } else {
      doubtful = this.due;
      this.due = [];
    }
    this.next = Math.max(this.next, visit.taken + 1);
    this.save();
    return { missing, doubtful, again: this.due.map((said) => `/id ${said.id} ${said.text}`) };
  }
}

// ----------------------------------------------------------------------------------------------- the connection

const SHORTEST = 1, LONGEST = 40;    // seconds between two attempts; up to half as much again, by chance

/** A connection to the room, and the next one when that is gone. `heard` is told each object that comes. */
class Line {
  constructor(heard, changed) {
    this.heard = heard;
    this.changed = changed;          // told '' when it is open, else why it is not
    this.delay = SHORTEST;
    this.wanted = true;
    addEventListener('online', () => this.hurry());
    document.addEventListener('visibilitychange', () => document.hidden || this.hurry());
  }

  open() {
    clearTimeout(this.timer);
    this.timer = 0;
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    const socket = this.socket = new WebSocket(`${scheme}://${location.host}/ws`);
    socket.onmessage = (message) => socket === this.socket && this.heard(JSON.parse(message.data));
    socket.onclose = () => socket === this.socket && this.lost();
  }

  get inside() { return this.socket?.readyState === WebSocket.OPEN; }

  send(line) { this.socket.send(line); }

  /** What follows does not follow what came: ask for it again. */
  again() {
    this.socket.onclose = null;
    this.socket.close();
    this.lost();
  }

  lost() {
    this.socket = null;
    if (!this.wanted) return;
    const seconds = this.delay * (1 + Math.random() / 2);
    this.delay = Math.min(this.delay * 2, LONGEST);
    this.timer = setTimeout(() => this.open(), seconds * 1000);
    this.changed(`no connection: trying again in ${Math.ceil(seconds)} s. What you type stays here.`);
  }

  /** Whoever looks at the page does not wait. */
  hurry() {
    if (this.timer) this.open();
  }

  welcomed() {
    this.delay = SHORTEST;
    this.changed('');
  }

  stop() {
    this.wanted = false;
    clearTimeout(this.timer);
    this.timer = 0;
    if (this.socket) this.socket.onclose = null;
    this.socket?.close();
    this.socket = null;
  }
}

// ------------------------------------------------------------------------------------------------------ the log

const NODES = 2000;                  // lines that are kept on the page
const NEAR = 30;                     // pixels from the end within which it is followed
const LINK = /\bhttps?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)\]}]/g;

/** What is shown: a list that is only appended to, and scrolls in a window. */
class Log {
  constructor(view, below) {
    this.view = view;
    this.list = view.querySelector('ol');
    this.below = below;
    this.unseen = 0;
    view.addEventListener('scroll', () => this.follows && this.seen());
    below.addEventListener('click', () => this.toEnd());
    addEventListener('resize', () => this.unseen || this.toEnd());
  }

  get follows() { return this.view.scrollHeight - this.view.scrollTop - this.view.clientHeight <= NEAR; }

  /**
   * Show a line.
   * @param kind classes: what it is.
   * @param text what it says.
   * @param more who says it, when (RFC 3339), the number of that one.
   */
  add(kind, text, { who = '', time = '', uid = 0 } = {}) {
    const follows = this.follows;
    const item = document.createElement('li');
    item.className = kind;
    if (uid) item.dataset.uid = uid;
    const at = time ? new Date(time) : new Date();
    const clock = document.createElement('time');
    clock.dateTime = at.toISOString();
    clock.title = at.toLocaleString();
    clock.textContent = at.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
    item.append(clock);
    if (who) {
      const name = document.createElement('b');
      name.textContent = who;
      item.append(name);
    }
    const said = document.createElement('span');
    said.className = 'text';
    linked(said, text);
    item.append(said);
    this.append(item, follows);
  }

  /** A line between two times: what was said before one came, and now. */
  divide(text) {
    const item = document.createElement('li');
    item.className = 'now';
    item.textContent = text;
    this.append(item, this.follows);
  }

  append(item, follows) {
    this.list.append(item);
    while (this.list.childElementCount > NODES) {
      const before = this.view.scrollHeight;
      this.list.firstElementChild.remove();
      this.view.scrollTop -= before - this.view.scrollHeight;
    }
    if (follows) {
      this.toEnd();
      return;
    }
    this.unseen += 1;                // what is above stays: who reads there is not to lose the place
    this.below.hidden = false;
    this.below.textContent = `${this.unseen} new ${this.unseen === 1 ? 'line' : 'lines'} below`;
  }

  /** Blank what some people have said. */
  remove(uids) {
    const gone = new Set(uids.map(String));
    for (const item of this.list.children) {
      if (gone.has(item.dataset.uid)) item.querySelector('.text').textContent = '(removed)';
    }
  }

  toEnd() {
    this.view.scrollTop = this.view.scrollHeight;
    this.seen();
  }

  seen() {
    this.unseen = 0;
    this.below.hidden = true;
  }
}

/** Put a text into a node, with what are addresses of pages as links; nobody there learns of this page. */
function linked(node, text) {
  let at = 0;
  for (const found of text.matchAll(LINK)) {
    const link = document.createElement('a');
    link.href = found[0];
    link.rel = 'noopener noreferrer nofollow';
    link.target = '_blank';
    link.textContent = found[0];
    node.append(text.slice(at, found.index), link);
    at = found.index + found[0].length;
  }
  node.append(text.slice(at));
}

// ------------------------------------------------------------------------------------------------------ the box

const COMMANDS = ['/help', '/who', '/nick ', '/me ', '/msg ', '/ignore ', '/unignore ', '/history ', '/search ', '/quit'];

/** Where one types. `say` is told each line, and returns whether it was taken. */
class Box {
  constructor(box, form, names, say) {
    this.box = box;
    this.names = names;
    this.say = say;
    this.tries = null;               // what Tab offers, while nothing else is typed
    box.value = kept.read(sessionStorage, 'typed');
    box.addEventListener('keydown', (key) => this.press(key));
    box.addEventListener('input', () => this.changed());
    form.addEventListener('submit', (event) => { event.preventDefault(); this.submit(); });
    this.changed();
  }

  press(key) {
    if (key.isComposing || key.keyCode === 229) return;  // Enter ends a syllable then, and says nothing
    if (key.key === 'Enter' && !key.shiftKey) {
      key.preventDefault();
      this.submit();
    } else if (key.key === 'Tab' && !key.shiftKey && this.box.value) {
      if (this.complete()) key.preventDefault();
    }
  }

  changed() {
    this.tries = null;
    this.resize();
    kept.write(sessionStorage, 'typed', this.box.value);
  }

  resize() {
    this.box.style.height = 'auto';
    this.box.style.height = `${this.box.scrollHeight + 2}px`;
  }

  /** Say each line; what is not taken stays. */
  submit() {
    const lines = this.box.value.split('\n').filter((line) => line.trim());
    while (lines.length && this.say(lines[0])) lines.shift();
    this.box.value = lines.join('\n');
    this.changed();
    this.box.focus();
  }

  /** Complete the word before the cursor; Tab again offers the next one. */
  complete() {
    const { value, selectionStart: end } = this.box;
    if (!this.tries) {
      const begin = value.lastIndexOf(' ', end - 1) + 1;
      const word = value.slice(begin, end).replace(/^@/, '');
      const offered = begin === 0 && word.startsWith('/') ? COMMANDS : this.names();
      const found = offered.filter((name) => word && name.toLowerCase().startsWith(word.toLowerCase()));
      this.tries = { begin, rest: value.slice(end), found, at: -1 };
    }
    const tries = this.tries;
    if (!tries.found.length) return false;
    tries.at = (tries.at + 1) % tries.found.length;
    const put = tries.found[tries.at] + (tries.begin === 0 && !tries.found[tries.at].startsWith('/') ? ': ' : '');
    this.box.value = value.slice(0, tries.begin) + put + tries.rest;
    this.box.setSelectionRange(tries.begin + put.length, tries.begin + put.length);
    kept.write(sessionStorage, 'typed', this.box.value);
    return true;
  }
}

// ------------------------------------------------------------------------------------------------------ the page

const claim = new Claim();
const log = new Log(byId('log'), byId('below'));
const people = new Map();            // who is here: names by their numbers
const line = new Line(hear, showBanner);
const box = new Box(byId('box'), byId('form'), () => [...people.values()].filter((name) => name !== claim.nick), say);
let inside = false;
let quiet = 0;                       // the number of the question who is here, whose answer fills the list
let listed = 0;                      // events of a history that are to come
let old = 0;                         // events up to that number were there before
let password = '';
let mentions = 0;
const title = document.title;

function showBanner(text, button) {
  inside = inside && !text;
  const banner = byId('banner');
  banner.replaceChildren(text, ...(button ? [' ', button] : []));
  banner.hidden = !text;
}

/** Say a line, if there is a connection. */
function say(text) {
  if (!inside || !line.inside) return false;
  line.send(claim.say(text));
  return true;
}

/** Ask something in a window of its own. */
function ask(question, { why = '', type = 'text', value = '' } = {}) {
  const dialog = byId('ask'), given = byId('given');
  byId('asked').textContent = question;
  byId('why').textContent = why;
  given.type = type;
  given.value = value;
  return new Promise((answer) => {
    dialog.onclose = () => { answer(given.value); byId('box').focus(); };
    dialog.returnValue = '';
    if (!dialog.open) dialog.showModal();
    given.focus();
  });
}

const users = (number) => `${number} ${number < 2 ? 'user' : 'users'} online`;

function showPeople(number) {
  byId('online').textContent = users(number ?? people.size);
  const names = [...people.values()].sort((one, other) => one.localeCompare(other));
  byId('names').replaceChildren(...names.map((name) => {
    const item = document.createElement('li');
    item.textContent = name === claim.nick ? `${name} (you)` : name;
    return item;
  }));
  byId('me').textContent = people.get(claim.uid) ?? claim.nick ?? 'You';
}

/** Take in what the server says. */
function hear(told) {
  if (told.seq && listed) {
    listed -= 1;
    show(told, 'old');
    return;
  }
  if (told.seq && told.kind !== 'welcome') {
    if (told.seq !== claim.seq + 1) {
      line.again();
      return;
    }
    claim.seq = told.seq;
  }
  if (told.id && (told.uid === undefined || told.uid === claim.uid)) claim.done(told.id);
  const handler = handlers[told.kind];
  if (handler) handler(told);
  else if (told.seq) show(told);
  if (old && claim.seq >= old) {
    old = 0;
    if (log.list.childElementCount) log.divide('now');
  }
}

const handlers = {
  async hello(told) {
    if (told.password && !password) password = await ask('The password of this room', { type: 'password' });
    if (line.inside) line.send(claim.enter(told.password ? password : ''));
  },

  welcome(told) {
    const first = !claim.epoch;
    const { missing, doubtful, again } = claim.welcome(told);
    inside = true;
    line.welcomed();
    old = first && told.seq >= told.from ? told.seq : 0;
    if (missing) log.add('notice', missing === Infinity ? 'some lines may be missing' : `${missing} lines are missing`);
    for (const said of doubtful) log.add('notice error', `maybe not sent: ${said.text}`);
    for (const sent of again) line.send(sent);
    people.clear();
    people.set(told.uid, told.you);
    showPeople(told.users);
    quiet = claim.next;
    line.send(claim.say('/who'));
  },

  epoch(told) { claim.epoch = told.epoch; },

  ignored(told) { claim.ignored = new Set(told.uids); },

  history(told) {
    listed = told.count;
    log.add('notice', `${told.count} of ${told.of} lines`);
  },

  who(told) {
    if (told.id === quiet) {
      people.clear();
    } else {
      quiet = 0;
      log.add('notice', users(told.users));
    }
  },

  member(told) {
    people.set(told.uid, told.name);
    if (!quiet) log.add('notice', told.name + (told.address && told.address !== told.name ? ` ${told.address}` : ''));
    showPeople();
  },

  error(told) {
    if (!inside && told.code === 'password') {
      ask('The password of this room', { why: told.text, type: 'password' }).then((given) => {
        password = given;
        if (line.inside) line.send(claim.enter(password));
      });
      return;
    }
    log.add('notice error', told.text);
  },

  answer(told) { log.add('notice', told.text); },

  bye(told) {
    if (told.code === 'password') password = '';
    if (told.again || told.code === 'password' || told.code === 'usage') return;  // the next connection tries again
    line.stop();
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = told.code === 'replaced' ? 'Use it here' : 'Come in again';
    button.onclick = () => { line.wanted = true; showBanner(''); line.open(); };
    showBanner(told.code === 'replaced' ? 'This chat is open in another tab.' : told.text, button);
  },

  ack() {},
};

/** Show what has happened. */
function show(told, kind = told.seq && told.seq <= old ? 'old' : '') {
  const more = { time: told.time, uid: told.uid };
  const names = { entered: told.from, renamed: told.name };
  if (kind !== 'old' && names[told.kind]) people.set(told.uid, names[told.kind]);
  switch (told.kind) {
    case 'message':
    case 'action': {
      if (claim.ignored.has(told.uid)) return;
      const own = told.uid === claim.uid;
      const named = !own && !kind && names_me(told.text);
      const who = told.kind === 'action' ? `* ${told.from}` : told.from;
      log.add(`${kind} ${own ? 'own' : ''} ${named ? 'mention' : ''}`.trim(), told.text, { ...more, who });
      if (named) mention(told);
      return;
    }
    case 'entered':
      if (told.uid !== claim.uid) log.add(`notice ${kind}`, `${told.from} entered (${users(told.users)})`, more);
      break;
    case 'left':
      if (!kind) people.delete(told.uid);
      log.add(`notice ${kind}`, `${told.from} left (${users(told.users)})`, more);
      break;
    case 'renamed':
      if (told.uid === claim.uid && !kind) claim.nick = told.name;
      if (told.uid === claim.uid && !kind) kept.write(localStorage, 'name', told.name);
      log.add(`notice ${kind}`, `${told.from} is now ${told.name}`, { time: told.time });
      break;
    case 'restarted':
      people.clear();
      people.set(claim.uid, claim.nick);
      log.add(`notice ${kind}`, `the server has started again (${users(told.users)})`, more);
      quiet = claim.next;
      say('/who');
      break;
    case 'removed':
      log.remove(told.uids);
      log.add(`notice ${kind}`, told.text, more);
      return;
    default:
      if (told.text) log.add(`notice ${kind}`, told.text, more);
      return;
  }
  if (!kind) showPeople(told.users);
}

handlers.private = (told) => {
  const who = told.from ? `${told.from} to you` : `you to ${told.to}`;
  log.add(`private ${told.from ? 'mention' : 'own'}`, told.text, { time: told.time, who });
  if (told.from) mention(told);
};

function names_me(text) {
  return Boolean(claim.nick) && text.toLowerCase().split(/[^\p{L}\p{N}\p{M}._-]+/u)
    .some((word) => word.replace(/[.-]+$/, '') === claim.nick.toLowerCase());
}

/** Whoever looks elsewhere is told. */
function mention(told) {
  if (!document.hidden) return;
  mentions += 1;
  document.title = `(${mentions}) ${title}`;
  if (window.Notification?.permission === 'granted') new Notification(told.from, { body: told.text, tag: 'chatctl' });
}

document.addEventListener('visibilitychange', () => {
  if (document.hidden) return;
  mentions = 0;
  document.title = title;
});

const notify = byId('notify');
notify.hidden = window.Notification?.permission !== 'default';
notify.addEventListener('click', async () => {
  notify.hidden = await Notification.requestPermission() !== 'default';
});

(async () => {
  if (!claim.nick) {
    claim.nick = (await ask('What do you want to be called? You can leave this empty.')).trim();
    kept.write(localStorage, 'name', claim.nick);
  }
  line.open();
  byId('box').focus();
})();
