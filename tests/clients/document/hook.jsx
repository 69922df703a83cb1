import { useEffect, useState, useRef } from 'react';

function useRotoclearWebSocket(url, username, password) {
    const [connected, setConnected] = useState(false);
    const [state, setState] = useState({});
    const ws = useRef(null);
    
    useEffect(() => {
        ws.current = new WebSocket(url);
        
        ws.current.onopen = () => {
            setConnected(true);
            if (username && password) {
                ws.current.send(JSON.stringify({ username, password }));
            }
        };
        
        ws.current.onmessage = (event) => {
            const data = JSON.parse(event.data);
            setState(prev => ({ ...prev, ...data }));
        };
        
        ws.current.onclose = () => {
            setConnected(false);
        };
        
        return () => {
            ws.current.close();
        };
    }, [url, username, password]);
    
    const send = (data) => {
        if (ws.current?.readyState === WebSocket.OPEN) {
            ws.current.send(JSON.stringify(data));
        }
    };
    
    return { connected, state, send };
}

// Usage in component
function CameraControl() {
    const { connected, state, send } = useRotoclearWebSocket(
        'ws://localhost/api/v1',
        'admin',
        'password'
    );
    
    return (
        <div>
            <p>Connected: {connected ? 'Yes' : 'No'}</p>
            <p>Brightness: {state.brightness}</p>
            <button onClick={() => send({ brightness: 75 })}>
                Set Brightness 75%
            </button>
            <button onClick={() => send({ record: true })}>
                Start Recording
            </button>
        </div>
    );
}
