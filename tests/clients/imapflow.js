// imapflow against the server: list, sync, flags, search, move, folders, idle. Prints "stage …" after each.
const assert = require('assert');
const crypto = require('crypto');
const { ImapFlow } = require('imapflow');
const options = {
    host: 'localhost', port: Number(process.env.PORT), secure: true, logger: false, qresync: true,
    auth: { user: process.env.ACCOUNT, pass: process.env.PASSWORD },
};
const expected = JSON.parse(process.env.EXPECTED);
const sha256 = content => crypto.createHash('sha256').update(content).digest('hex');
const within = (milliseconds, what, client, event) => new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what}: not heard of`)), milliseconds);
    client.once(event, news => { clearTimeout(timer); resolve(news); });
});

async function opened() {
    const client = new ImapFlow(options);
    await client.connect();
    return client;
}

async function sync(client) {
    const list = await client.list({ statusQuery: { messages: true, unseen: true, uidNext: true, highestModseq: true } });
    for (const use of ['\\Sent', '\\Trash', '\\Drafts', '\\Junk', '\\Archive']) {
        assert(list.some(box => box.specialUse === use), `no ${use}`);
    }
    for (const [path, digests] of Object.entries(expected)) {
        const box = list.find(box => box.path === path);
        assert(box, `${path} is not listed`);
        assert.strictEqual(box.status.messages, digests.length);
        await client.mailboxOpen(path, { readOnly: true });
        const found = [];
        const wanted = { envelope: true, bodyStructure: true, flags: true, source: true, uid: true, size: true, internalDate: true };
        for await (const message of client.fetch('1:*', wanted)) {
            assert(message.envelope && message.bodyStructure);
            assert.strictEqual(message.size, message.source.length);
            found.push(sha256(message.source));
        }
        assert.deepStrictEqual(found.sort(), digests, `${path} differs`);
    }
}

async function change(client) {
    await client.mailboxOpen('INBOX');
    const found = await client.search({ header: { 'message-id': '<generated-11@example.org>' } }, { uid: true });
    assert.strictEqual(found.length, 1);
    assert.strictEqual((await client.search({ subject: 'こんにちは' })).length, 60);
    await client.messageFlagsAdd(found, ['\\Flagged', '$Forwarded'], { uid: true });
    const one = await client.fetchOne(found[0], { flags: true }, { uid: true });
    assert(one.flags.has('\\Flagged') && one.flags.has('$Forwarded'));
    const moved = await client.messageMove(found, 'Archive/2024/Reisen', { uid: true });
    assert.strictEqual(moved.uidMap.size, 1);
}

async function folders(client) {
    await client.mailboxCreate('Reise/Ängste');
    await client.mailboxOpen('日本語/メール');
    const copied = await client.messageCopy('1', 'Reise/Ängste');
    assert.strictEqual(copied.uidMap.size, 1);
    await client.mailboxRename('Reise/Ängste', 'Reise/Schön');
    await client.mailboxCreate('Weg');
    await client.mailboxDelete('Weg');
    const part = await client.download('1', undefined, { chunkSize: 1000 });
    const chunks = [];
    for await (const chunk of part.content) chunks.push(chunk);
    assert.strictEqual(sha256(Buffer.concat(chunks)), sha256((await client.fetchOne('1', { source: true })).source));
}

async function idle(client) {
    await client.mailboxOpen('INBOX');
    const before = client.mailbox.exists;
    const idling = client.idle();
    const other = await opened();
    const exists = within(10000, 'a new message', client, 'exists');
    const appended = await other.append('INBOX', 'Subject: from imapflow\r\n\r\nhello\r\n', ['\\Seen'], new Date());
    assert(appended.uid > 0);
    assert.strictEqual((await exists).count, before + 1);
    const flags = within(10000, 'a flag', client, 'flags');
    await other.mailboxOpen('INBOX');
    await other.messageFlagsAdd(String(appended.uid), ['\\Answered'], { uid: true });
    assert((await flags).flags.has('\\Answered'));
    const expunged = within(10000, 'an expunge', client, 'expunge');
    await other.messageDelete(String(appended.uid), { uid: true });
    const gone = await expunged;
    assert(gone.seq === before + 1 || gone.uid === appended.uid, JSON.stringify(gone));
    await other.logout();
    await client.noop();
    await idling;
}

async function resume(client) {
    const { uidValidity, highestModseq } = await client.mailboxOpen('INBOX');
    const other = await opened();
    await other.mailboxOpen('INBOX');
    await other.messageFlagsAdd('3', ['\\Flagged', '$Later']);
    await other.logout();
    await client.mailboxClose();
    const again = await client.mailboxOpen('INBOX');
    assert.strictEqual(again.uidValidity, uidValidity);
    assert(again.highestModseq > highestModseq);
    const changed = [];
    for await (const message of client.fetch('1:*', { flags: true }, { changedSince: highestModseq })) changed.push(message);
    assert.strictEqual(changed.length, 1);
    assert(changed[0].flags.has('$Later'));
}

(async () => {
    const client = await opened();
    const stages = { 'lists and fetches everything': sync, 'searches, flags, moves': change, 'makes and renames mailboxes, downloads in parts': folders,
        'IDLE hears of new mail, flags and expunges': idle, 'CHANGEDSINCE tells what changed': resume };
    for (const [name, stage] of Object.entries(stages)) {
        await stage(client);
        console.log(`stage ${name}`);
    }
    await client.logout();
})().catch(error => { console.error(error); process.exit(1); });
